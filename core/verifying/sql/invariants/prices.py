"""Invariants of prices: what was computed can be computed again, from what nobody has changed since."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from core.ledger.kinds import USAGE
from core.ledger.priced import GIVEN_STAMP
from core.ledger.sql.transactions import PRICED_COLUMNS
from core.movements.amended_prices import PRICES
from core.movements.rerating import RERATED
from core.verifying.recompute import changed_prices, wrong_amounts, wrong_leaves
from core.verifying.sql.invariants.invariant import Breach, Invariant

_UNDONE = (PRICES, RERATED)  # what takes amendments under a key back

# Of the accepted versions the active one, and those accepted since then.
_OVERLAPS = text("""
    WITH versions AS (
        SELECT v.id, v.row_count FROM price_versions v
         WHERE v.accepted_at >= :since OR v.id = (SELECT active_version FROM price_state)
    ), booked AS MATERIALIZED (
        SELECT b.* FROM price_book b JOIN versions v ON v.id = b.version_id
    )
    SELECT format('version %s of the price book', v.id) AS subject, format('it was accepted with %s rows, and has %s', v.row_count, b.n) AS detail
      FROM versions v LEFT JOIN (SELECT version_id, count(*) AS n FROM booked GROUP BY version_id) AS b ON b.version_id = v.id
     WHERE v.row_count <> coalesce(b.n, 0)
    UNION ALL
    SELECT format('row %s of the price book', b.row_id), format('in version %s it stands for another key, tier or time than it says', b.version_id)
      FROM booked b LEFT JOIN price_rows r ON r.id = b.row_id
     WHERE (r.key_hash, r.valid, int8range(r.from_tokens, r.from_tokens, '[]')) IS DISTINCT FROM (b.key_hash, b.valid, b.tier)
    UNION ALL
    SELECT format('row %s of the price book', a.row_id), format('in version %s row %s prices the same at one time', a.version_id, b.row_id)
      FROM booked a JOIN booked b ON b.version_id = a.version_id AND b.key_hash = a.key_hash
     WHERE a.row_id < b.row_id AND a.tier && b.tier AND a.valid && b.valid
    UNION ALL
    SELECT format('stamp %s', s.id), format('version %s has no row %s', s.version_id, named.row_id)
      FROM stamps s CROSS JOIN LATERAL unnest(s.rows) AS named(row_id)
      LEFT JOIN price_book b ON b.version_id = s.version_id AND b.row_id = named.row_id
     WHERE b.row_id IS NULL
""")

# Thousands of debits have the same classes and the same stamp: each pair is looked at once.
_UNPRICED_CLASSES = r"""
    SELECT format('transaction %s of mandate %s', (array_agg(d.id))[1], (array_agg(d.mandate_id))[1]) AS subject,
           format('%s debits of stamp %s used %s, which none of its rows prices', sum(d.debits), d.stamp_id, class.name) AS detail
      FROM (SELECT t.stamp_id, regexp_replace(t.leaves, '=[0-9]+', '', 'g') AS classes, count(*) AS debits,
                   min(t.id) AS id, min(t.mandate_id) AS mandate_id
              FROM transactions t JOIN stamps s ON s.id = t.stamp_id
             WHERE t.recorded_at >= :since AND s.kind = 'rated' AND t.leaves IS NOT NULL
               AND (SELECT EXISTS (SELECT FROM stamps WHERE kind = 'rated'))
             GROUP BY t.stamp_id, classes) AS d
      JOIN stamps s ON s.id = d.stamp_id
     CROSS JOIN LATERAL unnest(string_to_array(d.classes, ',')) AS class(name)
     WHERE NOT EXISTS (SELECT FROM price_rows r WHERE r.id = ANY(s.rows) AND r.leaf = class.name)
     GROUP BY d.stamp_id, class.name
"""

# A worker of the release before knows no modes. What was being recorded while a mode was set was read before it or after: either is right.
_NOT_COMPUTED = f"""
    SELECT format('transaction %s of mandate %s', t.id, t.mandate_id) AS subject,
           format('its event of %s is billed as given, and the mode of then is %s since %s', t.occurred_at, m.mode, m.since) AS detail
      FROM transactions t
     CROSS JOIN LATERAL (SELECT p.mode, p.since FROM price_modes p
                          WHERE p.mandate_id = t.mandate_id AND p.since <= t.occurred_at AND p.created_at < t.recorded_at - interval '1 minute'
                          ORDER BY p.since DESC LIMIT 1) AS m
     WHERE t.recorded_at >= :since AND t.reference_type = '{USAGE.reference_type}' AND t.mandate_id IN (SELECT mandate_id FROM price_modes)
       AND ((m.mode <> 'given' AND t.stamp_id IS NULL) OR (m.mode = 'computed' AND t.stamp_id = {GIVEN_STAMP}))
       AND NOT EXISTS (SELECT FROM price_modes p
                        WHERE p.mandate_id = t.mandate_id AND p.since > m.since AND p.since <= t.occurred_at
                          AND p.created_at BETWEEN t.recorded_at - interval '1 minute' AND t.recorded_at + interval '1 minute'
                          AND (p.mode = 'given' OR (p.mode = 'shadow' AND t.stamp_id IS NOT NULL)))
"""

# What is parked is counted where it comes and where it leaves, in whole books alone. History that is imported came from no producer.
_ACCEPTED = f"""
    SELECT format('event %s of mandate %s', p.event_id, p.mandate_id) AS subject,
           format('it is parked, and recorded as transaction %s', k.transaction_id) AS detail
      FROM parked_events p
     CROSS JOIN LATERAL (SELECT * FROM event_keys WHERE mandate_id = p.mandate_id AND event_id = p.event_id OFFSET 0) AS k
    UNION ALL
    SELECT format('batch %s', b.id), format('%s events were recorded in it, and it has %s usage debits', b.recorded, d.debits)
      FROM (SELECT t.batch_id, count(*) AS debits FROM transactions t
             WHERE t.recorded_at >= :since AND t.reference_type = '{USAGE.reference_type}' GROUP BY t.batch_id) AS d
      JOIN batches b ON b.id = d.batch_id
     WHERE b.recorded <> d.debits AND b.kind <> 'import'
    UNION ALL
    SELECT 'all parked events', format('%s are there; batches have parked %s and released %s', p.there, b.parked, b.released)
      FROM (SELECT count(*) AS there FROM parked_events) AS p,
           (SELECT coalesce(sum(parked), 0) AS parked, coalesce(sum(released) FILTER (WHERE kind = 'release'), 0) AS released FROM batches) AS b
     WHERE CAST(:since AS timestamptz) = '-infinity' AND p.there <> b.parked - b.released
"""

_SAID = (
    "account_id",
    "balance_account_id",
    "amount",
    "price_given",
    *PRICED_COLUMNS,
    "provider",
    "model",
    "feature_code",
    "occurred_at",
    "local_date",
)


def _said(entry: str) -> str:
    return ", ".join(f"{entry}.{name}" for name in _SAID)


_NOT_REVERTED = f"""
    SELECT format('event %s of mandate %s', r.event_id, r.mandate_id) AS subject,
           CASE WHEN a.event_id IS NULL THEN format('%s %s takes back what nothing had amended', r.operation, r.idempotency_key)
                WHEN r.reversed_id <> a.debit_id THEN format('%s %s takes back another entry than the amended one', r.operation, r.idempotency_key)
                ELSE format('transaction %s stood before it was amended under %s; after the revert transaction %s says something else',
                            b.id, r.idempotency_key, d.id) END AS detail
      FROM (SELECT *, CASE operation {" ".join(f"WHEN '{undo.undone}' THEN '{undo.done}'" for undo in _UNDONE)} END AS of
              FROM amendments WHERE recorded_at >= :since AND operation = ANY(:reverts)) AS r
      LEFT JOIN amendments a ON a.mandate_id = r.mandate_id AND a.event_id = r.event_id AND a.operation = r.of
                            AND a.idempotency_key = r.idempotency_key
      LEFT JOIN LATERAL (SELECT * FROM transactions WHERE id = a.reversed_id AND recorded_at = a.reversed_recorded_at OFFSET 0) AS b ON true
      LEFT JOIN LATERAL (SELECT * FROM transactions WHERE id = r.debit_id AND recorded_at = r.recorded_at OFFSET 0) AS d ON true
     WHERE a.event_id IS NULL OR r.reversed_id <> a.debit_id OR ({_said("b")}) IS DISTINCT FROM ({_said("d")})
"""


def amounts_recompute() -> Invariant:
    """P1, of usage debits and amended ones alike, of billed prices and of those that only stand beside them."""
    return Invariant("P1", "each computed price and its provider cost are what the raw usage gives by the stamp", wrong_amounts)


def leaves_are_read() -> Invariant:
    """P2. The dialect checks its identity each time that it reads, so leaves that can be read again satisfy it."""
    return Invariant(
        "P2", "the leaves of each debit are those that its dialect reads off its usage object, which keep the dialect's identity", wrong_leaves
    )


def accepted_prices_stay() -> Invariant:
    """P3. Constraints and triggers refuse it; this finds what went past them."""

    def found(connection: Connection, since: str) -> Iterator[Breach]:
        yield from changed_prices(connection)
        for row in connection.execute(_OVERLAPS, {"since": since}):
            yield Breach(row.subject, row.detail)

    return Invariant("P3", "rows of accepted versions never overlap or change, and neither do stamps", found)


def stamps_price_all_leaves() -> Invariant:
    """P4, by the leaves that debits keep; that these are the right ones is another invariant's business. And nothing escapes its mode."""
    return Invariant(
        "P4",
        "no computed price has a positive leaf that its stamp has no row for, and what the mode of its time computes is computed",
        text(f"{_UNPRICED_CLASSES} UNION ALL {_NOT_COMPUTED}"),
    )


def accepted_events_are_debits_or_parked() -> Invariant:
    """P5. That each accepted event has one debit, I1 tells."""
    return Invariant("P5", "accepted events are debits or parked, none both: those of each batch, and all that were parked", text(_ACCEPTED))


def reverts_restore() -> Invariant:
    """P6: what stands after a revert is in all that is billed and counted what stood before. That chains have no gap, I1 tells."""
    return Invariant(
        "P6",
        "prices that were amended and reverted are as before: amount, payer, price, cost, leaves, local day",
        text(_NOT_REVERTED).bindparams(reverts=[undo.undone for undo in _UNDONE]),
    )
