"""Invariants of recorded events: one debit each, its payload as it came, and nothing for a contradiction."""

from sqlalchemy import text

from core.database.event_columns import PRICE_GIVEN
from core.events.payload import COUNTS_V1, TEXTS_V1, TEXTS_V2
from core.ledger.kinds import USAGE
from core.ledger.priced import GIVEN_STAMP
from core.verifying.sql.invariants.amendments import BROKEN_CHAINS, UNSAID_ACCEPTANCES
from core.verifying.sql.invariants.invariant import Invariant

# core.events.payload in SQL, of a row `t`: chr(31) between the fields, chr(30) for an absent one. The price is the one that was given.
_TEXTS = ", ".join("t.created_by_user_id" if name == "user_id" else f"t.{name}" for name in TEXTS_V1)
_COUNTS = ", ".join(f"CAST(t.{name} AS text)" for name in COUNTS_V1)
_V1 = rf"""
    {_TEXTS}, CAST({PRICE_GIVEN.format("t")} AS text), to_char(t.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\:MI\:SS.US'), {_COUNTS}"""
_USAGE_OBJECT = r"(SELECT format(s.shape, VARIADIC string_to_array(t.usage_values, E'\n')) FROM usage_shapes s WHERE s.id = t.usage_shape)"
_V2 = f"""
    {_V1}, {", ".join(f"t.{name}" for name in TEXTS_V2)}, CAST(t.attempt AS text), CAST(t.hold_final AS text),
    CAST(trim_scale(t.reported_amount) AS text), t.reported_currency, {_USAGE_OBJECT}"""


def _hash(fields: str) -> str:
    return f"sha256(convert_to(array_to_string(ARRAY[{fields}], chr(31), chr(30)), 'UTF8'))"


PAYLOAD_HASH_V1, PAYLOAD_HASH_V2 = _hash(_V1), _hash(_V2)

# Each of the hashes is computed only where it is asked for.
_USAGE = f"""
    WITH usage AS NOT MATERIALIZED (
        SELECT t.id, t.mandate_id, t.event_id, t.amount, t.recorded_at, {PAYLOAD_HASH_V1} AS payload_hash_v1, {PAYLOAD_HASH_V2} AS payload_hash_v2,
               t.stamp_id IS NOT NULL AND (t.stamp_id = {GIVEN_STAMP} OR t.price_computed IS NOT NULL)
               AND t.amount IS DISTINCT FROM t.price_given AS is_not_as_given, t.price_given, t.stamp_id
          FROM transactions t WHERE t.reference_type = '{USAGE.reference_type}'
    )
"""
# Every event of version 2 has a stamp: so those of version 1, of which books have millions, are joined by few columns. What is billed as it was
# given is the price that was given; a computed amount is the business of P1.
_CHANGED_DEBITS = """
    SELECT format('event %s of mandate %s', k.event_id, k.mandate_id) AS subject,
           CASE WHEN k.hash_version NOT IN (1, 2) THEN format('this program does not know payload hash version %s', k.hash_version)
                WHEN u.is_not_as_given THEN format('transaction %s bills %s CHF, and the price given is %s', u.id, u.amount, u.price_given)
                ELSE format('transaction %s has another payload than its key', u.id) END AS detail
      FROM event_keys k JOIN usage u ON u.mandate_id = k.mandate_id AND u.event_id = k.event_id
     WHERE k.recorded_at >= :since AND u.recorded_at >= :since
       AND CASE k.hash_version WHEN 1 THEN k.payload_hash <> u.payload_hash_v1 OR u.is_not_as_given WHEN 2 THEN u.stamp_id IS NULL ELSE true END
    UNION ALL
    SELECT format('event %s of mandate %s', k.event_id, k.mandate_id),
           CASE WHEN u.is_not_as_given THEN format('transaction %s bills %s CHF, and the price given is %s', u.id, u.amount, u.price_given)
                ELSE format('transaction %s has another payload than its key', u.id) END
      FROM event_keys k JOIN usage u ON u.mandate_id = k.mandate_id AND u.event_id = k.event_id
     WHERE k.recorded_at >= :since AND u.recorded_at >= :since AND k.hash_version = 2 AND u.stamp_id IS NOT NULL
       AND (k.payload_hash <> u.payload_hash_v2 OR u.is_not_as_given)
    UNION ALL
    SELECT format('mandate %s', s.mandate_id), format('usage debits sum to %s CHF, those of accepted events to %s CHF', s.debited, s.accepted)
      FROM (SELECT u.mandate_id, sum(u.amount) AS debited, coalesce(sum(u.amount) FILTER (WHERE k.event_id IS NOT NULL), 0) AS accepted
              FROM usage u
              LEFT JOIN event_keys k ON k.mandate_id = u.mandate_id AND k.event_id = u.event_id
                                    AND k.transaction_id = u.id AND k.recorded_at = u.recorded_at AND k.recorded_at >= :since
             WHERE u.recorded_at >= :since
             GROUP BY u.mandate_id) AS s
     WHERE s.debited <> s.accepted
"""

# The entries that are looked at, and what was recorded before the letters that came since. A letter has the hash of its own version. One of
# version 1 is as good as equal only to an event of version 1: beside version 2 it lacks what that one tells.
_CONFLICTS_BOOKED = """
    , refused AS (
        SELECT l.id, u.id AS transaction_id FROM dead_letters l JOIN usage u ON u.mandate_id = l.mandate_id AND u.event_id = l.event_id
         WHERE l.reason = 'conflict' AND u.recorded_at >= :since
        UNION
        SELECT l.id, k.transaction_id FROM dead_letters l JOIN event_keys k ON k.mandate_id = l.mandate_id AND k.event_id = l.event_id
         WHERE l.reason = 'conflict' AND l.last_seen_at >= :since
    )
    SELECT format('dead letter %s', l.id) AS subject,
           format('event %s of mandate %s: transaction %s has the payload that was refused', l.event_id, l.mandate_id, u.id) AS detail
      FROM refused r
      JOIN dead_letters l ON l.id = r.id
      JOIN usage u ON u.id = r.transaction_id AND u.mandate_id = l.mandate_id AND u.event_id = l.event_id
      LEFT JOIN event_keys k ON k.mandate_id = l.mandate_id AND k.event_id = l.event_id
     WHERE (l.payload_hash = u.payload_hash_v2 OR (k.hash_version IS DISTINCT FROM 2 AND l.payload_hash = u.payload_hash_v1))
       AND (k.payload_hash IS DISTINCT FROM l.payload_hash OR u.recorded_at <= l.first_seen_at)
"""


def one_debit_per_event() -> Invariant:
    """I1. The key names its debit, so that the first of two payloads can be found again. Amendments are counted apart."""
    return Invariant(
        "I1",
        "each accepted event has exactly one usage debit, and each amendment takes back what stood for its event",
        text(
            f"""
            SELECT format('event %s of mandate %s', coalesce(k.event_id, d.event_id), coalesce(k.mandate_id, d.mandate_id)) AS subject,
                   CASE WHEN k.event_id IS NULL THEN format('%s usage debits without a key of their time', d.debits)
                        WHEN d.event_id IS NULL THEN 'a key without a usage debit of its time'
                        WHEN d.entries <> 1 OR d.debits <> 1 THEN format('%s usage entries, %s of them debits', d.entries, d.debits)
                        ELSE format('its key names transaction %s, its debit is %s', k.transaction_id, d.id) END AS detail
              FROM (SELECT * FROM event_keys WHERE recorded_at >= :since) AS k
              FULL JOIN (SELECT mandate_id, event_id, count(*) AS entries, count(*) FILTER (WHERE transaction_type = 'DEBIT') AS debits,
                                min(id) AS id, min(recorded_at) AS recorded_at
                           FROM transactions WHERE recorded_at >= :since AND reference_type = '{USAGE.reference_type}'
                          GROUP BY mandate_id, event_id) AS d
                ON d.mandate_id = k.mandate_id AND d.event_id = k.event_id
             WHERE k.event_id IS NULL OR d.event_id IS NULL OR d.entries <> 1 OR d.debits <> 1
                OR k.transaction_id <> d.id OR k.recorded_at <> d.recorded_at
            UNION ALL
            """
            + BROKEN_CHAINS
        ),
    )


def debits_are_what_came() -> Invariant:
    """I2, as far as the database knows it: the accepted payloads. What the producers sent, only their journals tell."""
    return Invariant(
        "I2", "every usage debit has the payload that was accepted, and their sum is that of the accepted prices", text(_USAGE + _CHANGED_DEBITS)
    )


def conflicts_move_nothing() -> Invariant:
    """I10. A refused payload may be the accepted one only where it was recorded after the refusal.

    (What it contradicted was parked, and could not be recorded in the end.)
    """
    return Invariant(
        "I10", "a conflicting replay never moved money, unless it was accepted", text(_USAGE + _CONFLICTS_BOOKED + " UNION ALL " + UNSAID_ACCEPTANCES)
    )
