"""The invariant of caps: what a counter says is what happened in its window, and what is held there."""

from sqlalchemy import text

from core.caps.sql.conditions import window_start
from core.caps.sql.expected import wrong_counters
from core.verifying.sql.invariants.invariant import Invariant

# Whoever records knows by the token whether there is anything to count.
UNCOUNTED = """
    SELECT s.mandate_id FROM billing_settings s
     WHERE s.caps_token IS NULL AND EXISTS (SELECT FROM caps p WHERE p.mandate_id = s.mandate_id AND p.removed_at IS NULL)
"""
_EVERY = "CAST(:since AS timestamptz) = '-infinity'"


def counters_are_sums() -> Invariant:
    """K1. A counter is one sum of its whole window, so that the entries of mandates with caps are looked at from the first day of any on.

    From a checkpoint on only the windows that go on since then are looked at, and none of all time. A counter that isn't there is as good as
    one of 0; those of removed caps stay as they were left.
    """
    day = "CAST(CAST(:since AS timestamptz) AT TIME ZONE 'UTC' AS date) - 1"  # in whatever zone
    since = f"CASE WHEN {_EVERY} THEN p.first_day ELSE {window_start('p', day)} END"
    return Invariant(
        "K1",
        "each counter of a cap is the sum of the debits in its window, and of what open holds keep there",
        text(f"""
            SELECT format('cap %s of mandate %s, user %s, window of %s', cap_id, mandate_id, coalesce(nullif(user_id, ''), '(all)'), window_start)
                       AS subject,
                   format('spent %s and held %s CHF, entries and open holds give %s and %s', stored_spent, stored_held, spent, held) AS detail
              FROM ({wrong_counters(f"(p.period <> 'TOTAL' OR {_EVERY})", since)}) AS wrong
            UNION ALL
            SELECT format('mandate %s', mandate_id), 'it has caps, and its settings say that it has none' FROM ({UNCOUNTED}) AS uncounted
        """),
    )
