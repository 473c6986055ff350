"""SQL of the directory's mirror: which mandates, users and memberships exist."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

_MANDATES = text("SELECT id, enabled, time_zone FROM directory_mandates WHERE id = ANY(:mandate_ids)")

# Where `enabled` is not given, the row in the mirror keeps its own, also one that another transaction has changed meanwhile.
_PUT_MANDATES = text("""
    WITH given AS (
        SELECT * FROM unnest(CAST(:id AS text[]), CAST(:name AS text[]), CAST(:label AS text[]), CAST(:enabled AS boolean[]),
                             CAST(:time_zone AS text[])) AS g(id, name, label, enabled, time_zone)
    )
    INSERT INTO directory_mandates AS present (id, name, label, enabled, time_zone)
    SELECT id, name, label, coalesce(enabled, true), time_zone FROM given
    ON CONFLICT (id) DO UPDATE
       SET name = excluded.name, label = excluded.label, time_zone = excluded.time_zone,
           enabled = CASE WHEN excluded.id IN (SELECT id FROM given WHERE enabled IS NULL) THEN present.enabled ELSE excluded.enabled END
""")
_PUT_MEMBERSHIPS = text("""
    WITH given AS (
        SELECT * FROM unnest(CAST(:user_id AS text[]), CAST(:mandate_id AS text[]), CAST(:enabled AS boolean[])) AS g(user_id, mandate_id, enabled)
    )
    INSERT INTO directory_memberships AS present (user_id, mandate_id, enabled)
    SELECT user_id, mandate_id, coalesce(enabled, true) FROM given
    ON CONFLICT (mandate_id, user_id) DO UPDATE
       SET enabled = CASE WHEN (excluded.user_id, excluded.mandate_id) IN (SELECT user_id, mandate_id FROM given WHERE enabled IS NULL)
                          THEN present.enabled ELSE excluded.enabled END
""")
_PUT_USERS = text("""
    INSERT INTO directory_users (id, username, display_name)
    SELECT * FROM unnest(CAST(:id AS text[]), CAST(:username AS text[]), CAST(:display_name AS text[]))
    ON CONFLICT (id) DO UPDATE SET username = excluded.username, display_name = excluded.display_name
""")


@dataclass(frozen=True, slots=True)
class Mandate:
    """A mandate as the directory has it; `enabled` None: as it is in the mirror, true for a new one."""

    id: str
    name: str
    label: str | None
    enabled: bool | None
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class Membership:
    """One user in one mandate, as the directory has it; `enabled` as for a mandate."""

    user_id: str
    mandate_id: str
    enabled: bool | None


@dataclass(frozen=True, slots=True)
class User:
    """A user's names, as the directory has them."""

    id: str
    username: str | None
    display_name: str | None


@dataclass(frozen=True, slots=True)
class MandateState:
    """What recording asks of a mandate."""

    enabled: bool
    time_zone: str | None


def mandate_states(connection: Connection, mandate_ids: Iterable[str]) -> dict[str, MandateState]:
    """The state of each of these mandates that the directory knows."""
    rows = connection.execute(_MANDATES, {"mandate_ids": list(mandate_ids)})
    return {row.id: MandateState(row.enabled, row.time_zone) for row in rows}


def put_mandates(connection: Connection, mandates: Sequence[Mandate]) -> None:
    """The mirror has exactly these values for these mandates (ids unique in `mandates`); repeatable."""
    _put(connection, _PUT_MANDATES, mandates, ("id", "name", "label", "enabled", "time_zone"))


def put_memberships(connection: Connection, memberships: Sequence[Membership]) -> None:
    """The mirror has exactly these values for these memberships (pairs unique in `memberships`); repeatable."""
    _put(connection, _PUT_MEMBERSHIPS, memberships, ("user_id", "mandate_id", "enabled"))


def put_users(connection: Connection, users: Sequence[User]) -> None:
    """The mirror has exactly these values for these users (ids unique in `users`); repeatable."""
    _put(connection, _PUT_USERS, users, ("id", "username", "display_name"))


def _put(connection: Connection, statement: object, rows: Sequence[object], columns: tuple[str, ...]) -> None:
    if rows:
        connection.execute(statement, {column: [getattr(row, column) for row in rows] for column in columns})  # type: ignore[call-overload]
