"""SQL of what bounded the call of an entry."""

from dataclasses import fields

from sqlalchemy import text

from core.caps.sql.caps import CAP_COLUMNS
from core.database.event_columns import columns
from core.holds.model import Hold

HOLD = text(f"SELECT {columns('h', [f.name for f in fields(Hold)])} FROM holds h WHERE h.mandate_id = :mandate_id AND h.hold_key = :hold_key")

CAPS = text(f"SELECT {CAP_COLUMNS} FROM caps c WHERE c.mandate_id = :mandate_id AND c.removed_at IS NULL")

SPENT = text("""
    SELECT c.cap_id, c.user_id, c.window_start, c.spent
      FROM unnest(CAST(:cap_ids AS bigint[]), CAST(:user_ids AS text[]), CAST(:windows AS date[])) AS k(cap_id, user_id, window_start)
     CROSS JOIN LATERAL (SELECT * FROM cap_counters
                          WHERE cap_id = k.cap_id AND user_id = k.user_id AND window_start = k.window_start OFFSET 0) AS c
""")
