"""SQL of caps as they are set, changed, removed and shown."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.caps.model import Cap, CounterKey
from core.caps.sql.caps import CAP_COLUMNS, cap_of
from core.caps.sql.conditions import window_start
from core.database.listing import Listing
from core.database.zones import local_day
from core.ledger.sql.held import CLOCK

SHOWN_COLUMNS = """
    r.id, r.mandate_id, r.scope, nullif(r.user_id, '') AS user_id, nullif(r.dimension, '') AS dimension, nullif(r.value, '') AS value, r.period,
    r.limit_chf, r.action, r.shares, r.first_day, r.created_by, r.created_at, r.changed_by, r.changed_at, r.removed_by, r.removed_at
"""

LIST = Listing(
    "caps",
    SHOWN_COLUMNS,
    ("id",),
    ascending=True,
    conditions={"present": "r.removed_at IS NULL", "user_id": "(r.scope <> 'USER' OR r.user_id = :user_id)"},
)

SHOW = text(f"SELECT {SHOWN_COLUMNS} FROM caps r WHERE r.mandate_id = :mandate_id AND r.id = :cap_id")

_PRESENT = text(f"""
    SELECT {CAP_COLUMNS} FROM caps c
     WHERE c.mandate_id = :mandate_id AND c.scope = :scope AND c.user_id = :user_id AND c.dimension = :dimension AND c.value = :value
       AND c.period = :period AND c.removed_at IS NULL
""")

_COUNT = text("SELECT count(*) FROM caps WHERE mandate_id = :mandate_id AND removed_at IS NULL")

_INSERT = text("""
    INSERT INTO caps (mandate_id, scope, user_id, dimension, value, period, limit_chf, action, shares, first_day, created_by)
    VALUES (:mandate_id, :scope, :user_id, :dimension, :value, :period, :limit_chf, :action, CAST(:shares AS smallint[]), :first_day, :by)
    RETURNING id
""")

_CHANGE = text("""
    UPDATE caps SET limit_chf = :limit_chf, action = :action, shares = CAST(:shares AS smallint[]), changed_by = :by, changed_at = now()
     WHERE id = :cap_id
""")

_REMOVE = text("""
    UPDATE caps SET removed_by = :by, removed_at = now() WHERE mandate_id = :mandate_id AND id = :cap_id AND removed_at IS NULL
""")

# Another one with each change, so that whoever reads the settings knows which caps there are, and whether any.
_RENEW_TOKEN = text("""
    UPDATE billing_settings
       SET caps_token = CASE WHEN EXISTS (SELECT FROM caps WHERE mandate_id = :mandate_id AND removed_at IS NULL) THEN gen_random_uuid() END
     WHERE mandate_id = :mandate_id
""")

_WIDEN = text(f"""
    UPDATE caps p SET first_day = {window_start("p", ":today")}
     WHERE p.mandate_id = :mandate_id AND p.removed_at IS NULL AND p.first_day > {window_start("p", ":today")}
""")

_TODAY = text(f"SELECT {local_day(CLOCK, 's.time_zone')} FROM billing_settings s WHERE s.mandate_id = :mandate_id")

_NOW = text(f"SELECT {CLOCK}")

_SPENT = text("""
    SELECT cap_id, user_id, window_start, spent FROM cap_counters WHERE cap_id = :cap_id AND window_start >= :first_day AND spent >= :least
""")

_OF_WINDOW = text("""
    SELECT user_id FROM cap_counters WHERE cap_id = :cap_id AND window_start = :window_start
     ORDER BY spent DESC, user_id LIMIT :limit OFFSET :offset
""")


def find_present(connection: Connection, identity: Mapping[str, object]) -> Cap | None:
    """The cap that the mandate has of this scope, user, dimension, value and period now."""
    found = connection.execute(_PRESENT, identity).one_or_none()
    return None if found is None else cap_of(found)


def count_present(connection: Connection, mandate_id: str) -> int:
    """How many caps the mandate has now."""
    found: int = connection.execute(_COUNT, {"mandate_id": mandate_id}).scalar_one()
    return found


def insert_cap(connection: Connection, values: Mapping[str, object], first_day: date) -> int:
    """Writes a cap; its id. The caller counts its windows, and renews the token."""
    cap_id: int = connection.execute(_INSERT, {**values, "first_day": first_day}).scalar_one()
    return cap_id


def change_cap(connection: Connection, cap_id: int, values: Mapping[str, object]) -> None:
    """Sets limit, action and shares of a cap; the caller renews the token."""
    connection.execute(_CHANGE, {**values, "cap_id": cap_id})


def remove(connection: Connection, mandate_id: str, cap_id: int, by: str) -> bool:
    """Whether there was such a cap, which is removed now; the caller renews the token."""
    return connection.execute(_REMOVE, {"mandate_id": mandate_id, "cap_id": cap_id, "by": by}).rowcount == 1


def renew_token(connection: Connection, mandate_id: str) -> None:
    """The mandate's caps have another token from now on, or none where none is left. The caller holds the mandate alone."""
    connection.execute(_RENEW_TOKEN, {"mandate_id": mandate_id})


def find_today(connection: Connection, mandate_id: str, now: datetime | None = None) -> date | None:
    """The mandate's local day, by its present zone; None: it has no settings. `now` is the database's own clock by default."""
    found: date | None = connection.execute(_TODAY, {"mandate_id": mandate_id, "clock": now}).scalar_one_or_none()
    return found


def find_now(connection: Connection, now: datetime | None = None) -> datetime:
    """The present time by the database's clock, or `now`."""
    found: datetime = connection.execute(_NOW, {"clock": now}).scalar_one()
    return found


def widen(connection: Connection, mandate_id: str, today: date) -> int:
    """The mandate's present caps count from the window of that day on, if not before; how many did not."""
    return connection.execute(_WIDEN, {"mandate_id": mandate_id, "today": today}).rowcount


def spent_since(connection: Connection, cap_id: int, first_day: date, least: Decimal) -> dict[CounterKey, Decimal]:
    """What is spent in each counter of the cap whose window begins on that day or later, where it is `least` CHF or more."""
    found = connection.execute(_SPENT, {"cap_id": cap_id, "first_day": first_day, "least": least})
    return {CounterKey(*key): spent for *key, spent in found}


def users_of_window(connection: Connection, cap_id: int, window_start: date, limit: int, offset: int) -> list[CounterKey]:
    """The counters of a window of the cap, those with most spent first."""
    parameters = {"cap_id": cap_id, "window_start": window_start, "limit": limit, "offset": offset}
    return [CounterKey(cap_id, user_id, window_start) for user_id in connection.execute(_OF_WINDOW, parameters).scalars()]
