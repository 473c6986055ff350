"""SQL of the shadow report: prices that were given beside those that would have been computed."""

from sqlalchemy import text

from core.database.local_days import entries_in_days
from core.directory.sql.names import join_mandate, mandate_name
from core.ledger.kinds import COSTS
from core.ledger.sql.entry_kinds import is_of

# What wasn't computed is of the report where the mode was `shadow` when it happened: under `given` a reason may stand on a debit, too.
_IN_SHADOW = f"""
    {is_of(COSTS)} AND (t.price_computed IS NOT NULL OR (t.unpriced IS NOT NULL AND 'shadow' = (
        SELECT p.mode FROM price_modes p WHERE p.mandate_id = t.mandate_id AND p.since <= t.occurred_at ORDER BY p.since DESC LIMIT 1)))
"""
_COLUMNS = "t.provider, t.model, t.unpriced, t.amount, t.price_computed, CAST({0} AS int) AS sign"

# The entries that an amendment took back, found by it.
_TAKEN_BACK = """amendments m JOIN transactions t
    ON t.id = m.reversed_id AND t.recorded_at = m.reversed_recorded_at AND t.mandate_id = m.mandate_id AND t.event_id = m.event_id"""

_ENTRIES = f"""
    {entries_in_days(_COLUMNS.format("1"), f"t.mandate_id = h.mandate_id AND {_IN_SHADOW}")}
    UNION ALL
    {
    entries_in_days(
        _COLUMNS.format("-1"),
        f"m.mandate_id = h.mandate_id AND t.mandate_id = h.mandate_id AND {_IN_SHADOW}",
        entries=_TAKEN_BACK,
        recorded_at="m.reversed_recorded_at",
    )
}
"""

# Only mandates that were in `shadow` some time have such entries.
COMPARED = text(f"""
    SELECT h.mandate_id, {mandate_name("h.mandate_id")} AS mandate_name, e.provider, e.model, e.unpriced, e.event_count, e.given, e.computed
      FROM (SELECT DISTINCT mandate_id FROM price_modes
             WHERE mode = 'shadow' AND (CAST(:mandate_ids AS text[]) IS NULL OR mandate_id = ANY(CAST(:mandate_ids AS text[])))) AS h
     CROSS JOIN LATERAL (
           SELECT coalesce(t.provider, 'unknown') AS provider, coalesce(t.model, 'unknown') AS model, t.unpriced, sum(t.sign) AS event_count,
                  coalesce(sum(t.sign * t.amount), 0.000000000) AS given, coalesce(sum(t.sign * t.price_computed), 0.000000000) AS computed
             FROM ({_ENTRIES}) AS t GROUP BY 1, 2, 3) AS e
      {join_mandate("h.mandate_id")}
     WHERE e.event_count <> 0
     ORDER BY h.mandate_id, e.provider, e.model, e.unpriced
""")
