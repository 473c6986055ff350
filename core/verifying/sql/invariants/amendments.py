"""What holds of amendments: each takes back exactly what stood for its event, and was asked for."""

from core.ledger.kinds import AMENDED, REVERSAL
from core.ledger.sql.entry_kinds import is_of

# Part of I1: the chain of an event's entries has no gap and no fork, and each reversal mirrors what it takes back. (OFFSET 0 has its
# entries looked up: a planner without statistics of amendments takes them for one row, and would read all of them for each one.)
BROKEN_CHAINS = f"""
    SELECT format('amendment %s of event %s of mandate %s', c.number, c.event_id, c.mandate_id) AS subject,
           CASE WHEN c.number <> c.position THEN 'a number is missing before it'
                WHEN c.reversed_id IS DISTINCT FROM coalesce(c.debit_before, k.transaction_id)
                THEN format('it takes back transaction %s, but transaction %s stood for the event', c.reversed_id,
                            coalesce(c.debit_before, k.transaction_id))
                WHEN f.transaction_id IS NOT NULL THEN format('transaction %s has refunds', c.reversed_id)
                WHEN d.id IS NULL THEN format('transaction %s is not its debit', c.debit_id)
                WHEN (r.reverses_id, r.amount) IS NOT DISTINCT FROM (o.id, o.amount)
                 AND r.balance_account_id IS NOT DISTINCT FROM o.balance_account_id
                THEN format('its debit %s is not paid as transaction %s was', c.debit_id, c.reversed_id)
                ELSE format('transaction %s does not take transaction %s back', c.reversal_id, c.reversed_id) END AS detail
      FROM (SELECT m.*, lag(m.debit_id) OVER chain AS debit_before, row_number() OVER chain AS position
              FROM amendments m WINDOW chain AS (PARTITION BY m.mandate_id, m.event_id ORDER BY m.number)) AS c
      LEFT JOIN event_keys k ON k.mandate_id = c.mandate_id AND k.event_id = c.event_id
      LEFT JOIN LATERAL (SELECT * FROM transactions WHERE id = c.reversed_id AND recorded_at = c.reversed_recorded_at OFFSET 0) AS o ON true
      LEFT JOIN LATERAL (SELECT * FROM transactions WHERE id = c.reversal_id AND recorded_at = c.recorded_at OFFSET 0) AS r ON true
      LEFT JOIN LATERAL (SELECT * FROM transactions WHERE id = c.debit_id AND recorded_at = c.recorded_at OFFSET 0) AS d
        ON d.mandate_id = c.mandate_id AND d.event_id = c.event_id
       AND {is_of([AMENDED], "d")} AND d.batch_id = r.batch_id
      LEFT JOIN (SELECT DISTINCT mandate_id, transaction_id FROM refunds) AS f
        ON f.mandate_id = c.mandate_id AND f.transaction_id = c.reversed_id
     WHERE c.recorded_at >= :since
       AND (c.number <> c.position OR c.reversed_id IS DISTINCT FROM coalesce(c.debit_before, k.transaction_id)
        OR f.transaction_id IS NOT NULL OR d.id IS NULL OR o.id IS NULL
        OR (r.mandate_id, r.transaction_type, r.reference_type, r.reverses_id, r.amount, r.account_id, r.balance_account_id)
           IS DISTINCT FROM (c.mandate_id, '{REVERSAL.transaction_type}', '{REVERSAL.reference_type}',
                             o.id, o.amount, o.account_id, o.balance_account_id)
        OR d.balance_account_id IS DISTINCT FROM CASE WHEN o.balance_account_id = o.account_id THEN d.account_id ELSE o.balance_account_id END)
    UNION ALL
    SELECT format('transaction %s of mandate %s', t.id, t.mandate_id), 'it amends an event, but no amendment names it'
      FROM transactions t
     WHERE t.recorded_at >= :since AND t.reference_type = '{REVERSAL.reference_type}'
       AND (t.id IN (SELECT reversal_id FROM amendments UNION ALL SELECT debit_id FROM amendments)) IS NOT TRUE
"""

# Part of I10: a conflict moves money only by an operator's word, and then it does.
UNSAID_ACCEPTANCES = """
    SELECT format('dead letter %s', l.id) AS subject,
           CASE WHEN l.status = 'ACCEPTED' THEN 'it is accepted, but its event was not amended by it'
                ELSE format('its event was amended by it, but it is %s', l.status) END AS detail
      FROM dead_letters l
      LEFT JOIN amendments m ON m.mandate_id = l.mandate_id AND m.event_id = l.event_id
                            AND m.operation = 'accept' AND m.idempotency_key = 'dead_letter:' || l.id
     WHERE (l.status = 'ACCEPTED') <> (m.event_id IS NOT NULL)
"""
