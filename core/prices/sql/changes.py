"""SQL that changes what is dated beside the versions: new ones, and the end of those that are open. The caller holds the prices."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from core.database.rows import row, rows
from core.prices.dated import AliasEntry, ModeEntry, RuleEntry, UnchargedEntry

_VALID = "lower(r.valid) AS valid_from, upper(r.valid) AS valid_to, r.closed_by"
_RANGE = "tstzrange(CAST(:valid_from AS timestamptz), CAST(:valid_to AS timestamptz))"


class Dated(NamedTuple):
    """A table of things that hold for a time: how a row is shown, what is written, and which rows exclude each other at one time."""

    table: str
    kind: Any
    shown: str
    columns: tuple[str, ...]
    clash: str


ALIASES = Dated(
    "price_aliases",
    AliasEntry,
    f"r.id, r.provider, r.alias, r.model, {_VALID}, r.approved_by, r.approved_at",
    ("provider", "alias", "model", "approved_by"),
    "r.provider = :provider AND r.alias = :alias",
)
RULES = Dated(
    "sale_rules",
    RuleEntry,
    f"r.id, r.mandate_id, r.priority, r.provider, r.model, r.markup_percent, r.book, {_VALID}, r.created_by, r.created_at",
    ("mandate_id", "priority", "provider", "model", "markup_percent", "book", "created_by"),
    """r.mandate_id IS NOT DISTINCT FROM :mandate_id AND r.priority = :priority
       AND (r.provider IS NULL OR CAST(:provider AS text) IS NULL OR r.provider = :provider)
       AND (r.model IS NULL OR CAST(:model AS text) IS NULL OR r.model = :model)""",
)
UNCHARGED = Dated(
    "uncharged_rules",
    UnchargedEntry,
    f"r.id, r.mandate_id, r.provider, r.outcome, r.without_usage, {_VALID}, r.created_by, r.created_at",
    ("mandate_id", "provider", "outcome", "without_usage", "created_by"),
    """r.mandate_id IS NOT DISTINCT FROM :mandate_id AND r.provider IS NOT DISTINCT FROM :provider
       AND r.outcome = :outcome AND r.without_usage = :without_usage""",
)

MODE = "r.id, r.mandate_id, r.mode, r.since, r.created_by, r.created_at"
_MODE_SINCE = text(f"SELECT {MODE} FROM price_modes r WHERE r.mandate_id = :mandate_id AND r.since = :since")
_SET_MODE = text(f"""
    WITH r AS (
        INSERT INTO price_modes (mandate_id, mode, since, created_by)
        VALUES (:mandate_id, :mode, coalesce(CAST(:since AS timestamptz), now()), :created_by) RETURNING *
    ) SELECT {MODE} FROM r
""")


def find_clash(connection: Connection, dated: Dated, **told: object) -> Any:
    """The first that excludes what is told, at one time at least."""
    found = rows(
        connection,
        dated.kind,
        text(f"SELECT {dated.shown} FROM {dated.table} r WHERE {dated.clash} AND r.valid && {_RANGE} ORDER BY r.id LIMIT 1"),
        **_named(dated.clash, told),
        valid_from=told["valid_from"],
        valid_to=told["valid_to"],
    )
    return found[0] if found else None


def write_dated(connection: Connection, dated: Dated, **told: object) -> Any:
    """What was written, as it is shown."""
    names = ", ".join(dated.columns)
    places = ", ".join(f":{name}" for name in dated.columns)
    written = f"INSERT INTO {dated.table} ({names}, valid) VALUES ({places}, {_RANGE}) RETURNING *"
    return row(connection, dated.kind, text(f"WITH r AS ({written}) SELECT {dated.shown} FROM r"), **told)


def find_dated(connection: Connection, dated: Dated, row_id: int) -> Any:
    """The one with this id, if there is one."""
    return row(connection, dated.kind, text(f"SELECT {dated.shown} FROM {dated.table} r WHERE r.id = :row_id"), row_id=row_id)


def close_dated(connection: Connection, dated: Dated, row_id: int, end: datetime, closed_by: str) -> Any:
    """Ends what is open, and shows it."""
    closed = f"UPDATE {dated.table} SET valid = tstzrange(lower(valid), :end), closed_by = :closed_by WHERE id = :row_id RETURNING *"
    return row(connection, dated.kind, text(f"WITH r AS ({closed}) SELECT {dated.shown} FROM r"), row_id=row_id, end=end, closed_by=closed_by)


def _named(condition: str, told: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in told.items() if f":{name}" in condition}


def mode_since(connection: Connection, mandate_id: str, since: datetime) -> ModeEntry | None:
    """What a mandate was told for exactly since then."""
    return row(connection, ModeEntry, _MODE_SINCE, mandate_id=mandate_id, since=since)


def write_mode(connection: Connection, mandate_id: str, mode: str, since: datetime | None, created_by: str) -> ModeEntry:
    """Which price the mandate pays since then; None: since now, by the database's clock."""
    written = row(connection, ModeEntry, _SET_MODE, mandate_id=mandate_id, mode=mode, since=since, created_by=created_by)
    assert written is not None
    return written
