"""SQL of what the counters of caps have to be, by the ledger and by the holds that are open; and of setting them so."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, TextClause, text

from core.caps.model import CounterKey
from core.caps.sql.conditions import counter_user, counts, window_start
from core.database.rows import rows
from core.ledger.kinds import COSTS
from core.ledger.sql.entry_kinds import is_of

_OF_ENTRY = "{0}.created_by_user_id AS user_id, {0}.provider, {0}.model, {0}.feature_code, {0}.local_date"

# Nothing is recorded long before its local day has begun. What is alike is added up before it is matched with caps.
_EXPECTED = f"""
    wanted AS MATERIALIZED (
        SELECT p.id, p.mandate_id, p.scope, p.user_id, p.dimension, p.value, p.period, greatest(p.first_day, {{since}}) AS first_day
          FROM caps p WHERE p.removed_at IS NULL AND {{which}}
    ),
    mandates AS MATERIALIZED (SELECT mandate_id, min(first_day) AS first_day FROM wanted GROUP BY mandate_id),
    spendings AS MATERIALIZED (
        SELECT m.mandate_id, e.*
          FROM mandates m CROSS JOIN LATERAL (
               SELECT user_id, provider, model, feature_code, local_date, sum(amount) AS spent, 0 AS held
                 FROM (SELECT {_OF_ENTRY.format("t")}, t.amount
                         FROM transactions t
                        WHERE t.mandate_id = m.mandate_id AND t.recorded_at >= CAST(m.first_day - 3 AS timestamp) AT TIME ZONE 'UTC'
                          AND t.local_date >= m.first_day AND {is_of(COSTS)}
                       UNION ALL
                       SELECT {_OF_ENTRY.format("o")}, -o.amount
                         FROM amendments a
                        CROSS JOIN LATERAL (SELECT * FROM transactions
                                             WHERE id = a.reversed_id AND recorded_at = a.reversed_recorded_at OFFSET 0) AS o
                        WHERE a.mandate_id = m.mandate_id AND a.recorded_at >= CAST(m.first_day - 3 AS timestamp) AT TIME ZONE 'UTC'
                          AND o.local_date >= m.first_day) AS booked
                GROUP BY user_id, provider, model, feature_code, local_date
               UNION ALL
               SELECT h.user_id, h.provider, h.model, h.feature_code, h.local_date, 0, sum(h.amount - h.captured)
                 FROM holds h WHERE h.mandate_id = m.mandate_id AND h.settled_at IS NULL
                GROUP BY h.user_id, h.provider, h.model, h.feature_code, h.local_date) AS e
    ), expected AS MATERIALIZED (
        SELECT p.id AS cap_id, {counter_user("p", "e.user_id")} AS user_id, {window_start("p", "e.local_date")} AS window_start,
               sum(e.spent) AS spent, sum(e.held) AS held
          FROM wanted p JOIN spendings e ON e.mandate_id = p.mandate_id AND {counts("p", "e")} AND {window_start("p", "e.local_date")} >= p.first_day
         GROUP BY 1, 2, 3
    )"""


def wrong_counters(which: str, since: str = "p.first_day") -> str:
    """A query for the counters of present caps that are not what they have to be: stored, and expected; what isn't there is 0.

    It reads the ledger of their mandates from the first day on that any of these caps counts.

    Args:
        which: the condition on the caps `p`.
        since: SQL of the first day of the first window that is looked at; by default of all that count.
    """
    return f"""
        WITH {_EXPECTED.format(which=which, since=since)}
        SELECT p.mandate_id, cap_id, user_id, window_start, coalesce(s.spent, 0.000000000) AS stored_spent,
               coalesce(s.held, 0.000000000) AS stored_held, coalesce(e.spent, 0.000000000) AS spent, coalesce(e.held, 0.000000000) AS held
          FROM expected e
          FULL JOIN (SELECT c.* FROM cap_counters c JOIN wanted w ON w.id = c.cap_id AND c.window_start >= w.first_day) AS s
         USING (cap_id, user_id, window_start)
          JOIN (SELECT id, mandate_id FROM wanted) AS p ON p.id = cap_id
         WHERE coalesce(s.spent, 0) <> coalesce(e.spent, 0) OR coalesce(s.held, 0) <> coalesce(e.held, 0)
    """


def _set(which: str, told: str) -> TextClause:
    return text(f"""
        WITH wrong AS MATERIALIZED ({wrong_counters(which)}), written AS (
            INSERT INTO cap_counters AS c (cap_id, user_id, window_start, spent, held)
            SELECT cap_id, user_id, window_start, spent, held FROM wrong ORDER BY cap_id, user_id, window_start
            ON CONFLICT (cap_id, user_id, window_start) DO UPDATE SET spent = excluded.spent, held = excluded.held, updated_at = now()
        )
        SELECT {told}
    """)


_SET_OF_CAP = _set("p.id = :cap_id", "count(*) FROM wrong")
_SET_OF_MANDATE = _set("p.mandate_id = :mandate_id", "* FROM wrong ORDER BY cap_id, user_id, window_start")


@dataclass(frozen=True, slots=True)
class WrongCounter:
    """A counter of a present cap: what is stored of it, and what it has to be, in CHF."""

    mandate_id: str
    cap_id: int
    user_id: str
    window_start: date
    stored_spent: Decimal
    stored_held: Decimal
    spent: Decimal
    held: Decimal

    @property
    def key(self) -> CounterKey:
        """Which one it is."""
        return CounterKey(self.cap_id, self.user_id, self.window_start)


def count_cap(connection: Connection, cap_id: int) -> int:
    """The counters of the cap are what they have to be afterwards; how many were not. The caller holds the mandate alone."""
    counters: int = connection.execute(_SET_OF_CAP, {"cap_id": cap_id}).scalar_one()
    return counters


def count_caps(connection: Connection, mandate_id: str) -> list[WrongCounter]:
    """As `count_cap`, of all present caps of the mandate; tells which were not."""
    return rows(connection, WrongCounter, _SET_OF_MANDATE, mandate_id=mandate_id)
