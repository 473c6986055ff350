"""The invariant of balance alerts: each crossing of a line is there, once.

What the database can tell for certain:

- An alert of a recording batch: usage only takes off, so it is a crossing, never a recovery; the balance before was on the
  right side of the line, the one after is not; the batch has the debits for it; and there is one per account and line.
- One alert after another of the same account and line, under an unchanged prepaid model: crossed and recovered alternate.
  A prepaid line moves only with a movement of its account, which is judged by the lines before and after it.
- The last alert agrees with the present balance, under an unchanged prepaid model. Without any, a balance is not below
  zero; nor is it at its threshold where the account began above it, with a grant. (An account without one begins at zero,
  which is its threshold: on the wrong side for ever, until credit comes.)

- As many alerts are there of each account as were counted when they were written, since they are.

Alerts of recording batches are looked at with the entries of their time; the others all of them, whatever the time.

A postpaid pool's lines move beside the ledger, with its limit and with the percentage of the settings. So there it is only
seen when the same line is crossed twice although nothing ever raised the balance. Across a switch of the billing model
nothing is compared.
"""

from sqlalchemy import text

from core.ledger.kinds import GRANT, LEG, USAGE
from core.verifying.sql.invariants.invariant import Invariant

_STATES = """
    WITH versions AS (
        SELECT mandate_id, version, billing_model, warning_threshold_percent,
               count(*) FILTER (WHERE billing_model IS DISTINCT FROM model_before) OVER (PARTITION BY mandate_id ORDER BY version) AS span
          FROM (SELECT *, lag(billing_model) OVER (PARTITION BY mandate_id ORDER BY version) AS model_before FROM billing_settings_history) AS h
    ), alerts AS (
        SELECT l.*, v.billing_model, v.span, b.kind IN ('usage', 'release', 'replay') AS from_usage,
               lag(l.recovered) OVER same AS recovered_before, lag(l.threshold) OVER same AS threshold_before,
               lead(l.id) OVER same IS NULL AS is_last, count(*) OVER (PARTITION BY l.account_id, l.kind, l.batch_id) AS in_batch
          FROM balance_alerts l
          LEFT JOIN versions v ON v.mandate_id = l.mandate_id AND v.version = l.settings_version
          LEFT JOIN batches b ON b.id = l.batch_id
        WINDOW same AS (PARTITION BY l.account_id, l.kind, v.span ORDER BY l.id)
    ), debited AS (
        SELECT batch_id, balance_account_id, sum(amount) AS amount FROM transactions
         WHERE recorded_at >= :since AND transaction_type = 'DEBIT' AND batch_id IN (SELECT batch_id FROM balance_alerts)
         GROUP BY batch_id, balance_account_id
    ), payers AS (
        SELECT a.*, v.span, o.span AS opened_span, o.warning_threshold_percent AS opened_percent, k.kind,
               CASE k.kind WHEN 'ZERO' THEN a.balance < 0 ELSE a.balance <= a.warning_threshold END AS beyond
          FROM accounts a
          JOIN billing_settings s ON s.mandate_id = a.mandate_id
          JOIN versions v ON v.mandate_id = s.mandate_id AND v.version = s.version
          LEFT JOIN versions o ON o.mandate_id = a.mandate_id AND o.version = a.opened_version
         CROSS JOIN (VALUES ('WARNING'), ('ZERO')) AS k(kind)
         WHERE (s.billing_model, a.account_type) IN (('PREPAY_USER', 'USER'), ('PREPAY_MANDATE', 'MANDATE'))
    )
"""

_BREACHES = f"""
    SELECT format('alert %s of account %s', l.id, l.account_id) AS subject,
           CASE WHEN l.billing_model IS NULL THEN format('the history has no settings version %s', l.settings_version)
                WHEN l.in_batch > 1 THEN format('batch %s has %s alerts of kind %s for its account', l.batch_id, l.in_batch, l.kind)
                ELSE format('%s at %s CHF under %s does not lie between %s CHF before and %s CHF after batch %s with debits of %s CHF',
                            l.kind, l.threshold, l.billing_model, l.balance_before, l.balance_after, l.batch_id, coalesce(d.amount, 0)) END AS detail
      FROM alerts l
      LEFT JOIN debited d ON d.batch_id = l.batch_id AND d.balance_account_id = l.account_id
     CROSS JOIN LATERAL (
               SELECT bool_or(x.moment = 'before' AND x.beyond) AS before, bool_or(x.moment = 'after' AND x.beyond) AS after
                 FROM (SELECT m.moment,
                              CASE WHEN l.billing_model = 'CREDIT_POSTPAY' AND l.kind = 'WARNING' THEN greatest(0, -m.balance) >= -l.threshold
                                   WHEN l.billing_model = 'CREDIT_POSTPAY' AND l.kind = 'CREDIT_LIMIT' THEN greatest(0, -m.balance) > -l.threshold
                                   WHEN l.billing_model LIKE 'PREPAY%' AND l.kind = 'WARNING' THEN m.balance <= l.threshold
                                   WHEN l.billing_model LIKE 'PREPAY%' AND l.kind = 'ZERO' THEN m.balance < 0 END AS beyond
                         FROM (VALUES ('before', l.balance_before), ('after', l.balance_after)) AS m(moment, balance)) AS x
           ) AS beyond
     WHERE l.recorded_at >= :since
       AND (l.billing_model IS NULL
            OR (l.from_usage AND (l.in_batch > 1 OR l.recovered OR beyond.before IS DISTINCT FROM false OR beyond.after IS DISTINCT FROM true
                                  OR l.balance_before - l.balance_after > coalesce(d.amount, 0))))
    UNION ALL
    SELECT format('alert %s of account %s', l.id, l.account_id),
           format('%s %s twice in a row', l.kind, CASE WHEN l.recovered THEN 'recovered' ELSE 'crossed' END)
      FROM alerts l
     WHERE l.recovered = l.recovered_before
       AND (l.billing_model LIKE 'PREPAY%'
            OR (NOT l.recovered AND l.threshold = l.threshold_before AND NOT EXISTS (
                   SELECT FROM transactions r WHERE r.account_id = l.account_id AND r.balance_account_id = l.account_id
                      AND r.transaction_type <> 'DEBIT' AND r.amount > 0
                   UNION ALL
                   SELECT FROM transactions r WHERE r.balance_account_id = l.account_id AND r.balance_account_id <> r.account_id
                      AND r.reference_type <> '{USAGE.reference_type}' AND r.transaction_type <> 'DEBIT' AND r.amount > 0)))
    UNION ALL
    SELECT format('account %s', p.id),
           format('balance %s CHF (threshold %s CHF) is %s the line of %s, but the last alert says %s', p.balance, p.warning_threshold,
                  CASE WHEN p.beyond THEN 'beyond' ELSE 'not beyond' END, p.kind, CASE WHEN l.recovered THEN 'recovered' ELSE 'crossed' END)
      FROM payers p JOIN alerts l ON l.account_id = p.id AND l.kind = p.kind AND l.span = p.span AND l.is_last
     WHERE l.recovered = p.beyond
    UNION ALL
    SELECT format('account %s', p.id), format('balance %s CHF (threshold %s CHF) is beyond the line of %s, but no alert says so',
                                              p.balance, p.warning_threshold, p.kind)
      FROM payers p
     WHERE p.beyond AND p.opened_span = p.span
       AND NOT EXISTS (SELECT FROM balance_alerts l WHERE l.account_id = p.id AND l.kind = p.kind)
       AND NOT EXISTS (SELECT FROM transactions g WHERE g.account_id = p.id AND g.recorded_at = p.opened_at
                           AND g.reference_type = '{LEG.reference_type}')
       AND (p.kind = 'ZERO'
            OR EXISTS (SELECT FROM transactions g
                        WHERE g.balance_account_id = p.id AND g.account_id = p.id AND g.recorded_at = p.opened_at
                          AND g.reference_type = '{GRANT.reference_type}'
                          AND round(g.amount * p.opened_percent / 100, 9) < g.amount))
    UNION ALL
    SELECT format('account %s', coalesce(a.id, n.account_id)),
           format('%s alerts of it were written, and %s are there', coalesce(a.alert_count, 0), coalesce(n.alerts, 0))
      FROM accounts a FULL JOIN (SELECT account_id, count(*) AS alerts FROM balance_alerts WHERE counted GROUP BY account_id) AS n
        ON n.account_id = a.id
     WHERE coalesce(a.alert_count, 0) <> coalesce(n.alerts, 0)
"""


def crossings_are_reported_once() -> Invariant:
    """I15, as far as the database can tell for certain; the head of this file says how far that is."""
    return Invariant("I15", "each line that a balance crossed has one alert, and the last one agrees with the balance", text(_STATES + _BREACHES))
