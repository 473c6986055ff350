"""SQL of the counters of caps: moved, locked and read, many at once and always in the order of their keys."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, text

from core.caps.model import CounterKey
from core.caps.sql.conditions import counter_user, counts, window_start
from core.database.packing import packed, unpacked_rows
from core.database.zones import first_moment
from core.ledger.sql.held import CLOCK, OWN_HOLD, is_over
from core.money import ZERO

_KEY = {"cap_id": "bigint", "user_id": "text", "window_start": "date"}
_SPENT = unpacked_rows({**_KEY, "spent": "numeric"})
_BOTH = unpacked_rows({**_KEY, "spent": "numeric", "held": "numeric"})
_SAME = "(c.cap_id, c.user_id, c.window_start) = (d.cap_id, d.user_id, d.window_start)"


def _moving(change: str) -> TextClause:
    """A statement that changes counters `c`; what is spent in each afterwards comes back as one array, in the order of the keys."""
    return text(f"""
    WITH moved AS ({change} RETURNING c.cap_id, c.user_id, c.window_start, c.spent)
    SELECT array_agg(spent ORDER BY cap_id, user_id, window_start) FROM moved
    """)


# The rows come sorted, and each is locked by its own insertion or update.
_SPEND = _moving(f"""
    INSERT INTO cap_counters AS c (cap_id, user_id, window_start, spent)
    SELECT d.cap_id, d.user_id, d.window_start, d.spent FROM {_SPENT} AS d WHERE d.cap_id IS NOT NULL
    ON CONFLICT (cap_id, user_id, window_start) DO UPDATE SET spent = c.spent + excluded.spent, updated_at = now()
""")
_ADD = _moving(f"""
    INSERT INTO cap_counters AS c (cap_id, user_id, window_start, spent, held)
    SELECT d.cap_id, d.user_id, d.window_start, d.spent, d.held FROM {_BOTH} AS d WHERE d.cap_id IS NOT NULL
    ON CONFLICT (cap_id, user_id, window_start) DO UPDATE
       SET spent = c.spent + excluded.spent, held = c.held + excluded.held, updated_at = now()
""")
_CHANGE = _moving(f"""
    UPDATE cap_counters c SET spent = c.spent + d.spent, held = greatest(c.held + d.held, 0), updated_at = now()
      FROM {_BOTH} AS d WHERE {_SAME}
""")

# One statement inserts and locks, so that the order of keys is that of all. WHERE false locks what is there, and changes nothing.
_LOCK = text(f"""
    INSERT INTO cap_counters AS c (cap_id, user_id, window_start)
    SELECT d.cap_id, d.user_id, d.window_start FROM {unpacked_rows(_KEY)} AS d WHERE d.cap_id IS NOT NULL
    ON CONFLICT (cap_id, user_id, window_start) DO UPDATE SET updated_at = c.updated_at WHERE false
""")

# What is held in a counter, less the holds that the clock has ended. These are read once, where anything is held, and then added up as caps
# look at them; and the clock is read once, so that an index finds them.
_OVER = f"""
    SELECT ho.mandate_id, ho.user_id, ho.provider, ho.model, ho.feature_code, ho.local_date, sum(ho.amount - ho.captured) AS held
      FROM (SELECT DISTINCT p.mandate_id FROM windows w JOIN caps p ON p.id = w.cap_id) AS m
      JOIN holds ho ON ho.mandate_id = m.mandate_id AND ho.settled_at IS NULL AND {is_over("ho", CLOCK)} AND NOT {OWN_HOLD}
     GROUP BY ho.mandate_id, ho.user_id, ho.provider, ho.model, ho.feature_code, ho.local_date
"""
_HELD = f"""
    CASE WHEN c.held <> 0 THEN c.held - (
        SELECT coalesce(sum(o.held), 0) FROM caps p JOIN over_holds o ON o.mandate_id = p.mandate_id
         WHERE p.id = w.cap_id AND {counts("p", "o")}
           AND {counter_user("p", "o.user_id")} = w.user_id AND {window_start("p", "o.local_date")} = w.window_start) ELSE 0 END
"""

_READ = text(f"""
    WITH windows AS MATERIALIZED (
        SELECT * FROM {unpacked_rows({**_KEY, "closes": "date", "time_zone": "text"})} AS w WHERE w.cap_id IS NOT NULL
    ), over_holds AS MATERIALIZED ({_OVER})
    SELECT w.cap_id, w.user_id, w.window_start, coalesce(c.spent, 0.000000000) AS spent, greatest({_HELD}, 0.000000000) AS held,
           {first_moment("CAST(w.closes AS timestamp)", "w.time_zone")} AS opens_at
      FROM windows w
      LEFT JOIN LATERAL (SELECT spent, held FROM cap_counters k
                          WHERE k.cap_id = w.cap_id AND k.user_id = w.user_id AND k.window_start = w.window_start OFFSET 0) AS c ON true
""")


class Window(NamedTuple):
    """A counter to be read: the first day after its window (None: there is none), in which zone."""

    key: CounterKey
    closes: date | None
    time_zone: str


class Counter(NamedTuple):
    """What a counter says, in CHF; `held` without holds that are over. `opens_at`: when the window after it begins, if one does."""

    spent: Decimal
    held: Decimal
    opens_at: datetime | None


def change_counters(
    connection: Connection, spent: Mapping[CounterKey, Decimal], held: Mapping[CounterKey, Decimal]
) -> list[tuple[CounterKey, Decimal]]:
    """Adds to what is spent and held in each counter (CHF, either may be negative); returns what is spent in each afterwards, by key.

    Nobody else moves them before the transaction ends. Nothing becomes held below 0: what was never counted as held can't be given back,
    and usage that happened is recorded all the same.
    """
    ordered = sorted(spent.keys() | held.keys())
    if not ordered:
        return []
    columns = _keys(ordered) | {"spent": packed([spent.get(key, ZERO) for key in ordered])}
    statement = _SPEND
    if held:
        columns["held"] = packed([held.get(key, ZERO) for key in ordered])
        statement = _ADD
        if any(amount < 0 for amount in held.values()):  # no row that is inserted may have that
            connection.execute(_LOCK, _keys(ordered))
            statement = _CHANGE
    return list(zip(ordered, connection.execute(statement, columns).scalar_one(), strict=True))


def lock_counters(connection: Connection, keys: Iterable[CounterKey]) -> None:
    """Each counter is there afterwards, and nobody else moves it before the transaction ends."""
    if ordered := sorted(set(keys)):
        connection.execute(_LOCK, _keys(ordered))


def read_counters(connection: Connection, windows: Sequence[Window], now: datetime | None) -> dict[CounterKey, Counter]:
    """What each counter says, 0 where it isn't there. `now`: by which clock holds are over; None: the database's own."""
    if not windows:
        return {}
    columns = _keys([window.key for window in windows]) | {
        "closes": packed(window.closes for window in windows),
        "time_zone": packed(window.time_zone for window in windows),
    }
    found = connection.execute(_READ, columns | {"clock": now})
    return {CounterKey(row.cap_id, row.user_id, row.window_start): Counter(row.spent, row.held, row.opens_at) for row in found}


def _keys(keys: Sequence[CounterKey]) -> dict[str, object]:
    """The columns of at least one key."""
    cap_ids, user_ids, starts = zip(*keys, strict=True)
    days = {start: str(start) for start in {*starts}}  # few windows, many counters
    return {"cap_id": packed(map(str, cap_ids)), "user_id": packed(user_ids), "window_start": packed([days[start] for start in starts])}
