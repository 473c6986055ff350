"""Changing what is dated beside the versions: nothing is ever updated but the end of what is open, and each change raises the revision."""

from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.errors import NotFound, RequestRefused
from core.prices.content import TEXT_LENGTH_MAX
from core.prices.sql.changes import Dated, close_dated, find_clash, find_dated, write_dated
from core.prices.sql.state import hold_prices, raise_revision
from core.printable import one_line, shown


def require_text(field: str, value: str | None) -> None:
    """Returns if the text, where there is one, may be compared with what events say.

    Raises:
        RequestRefused: it is empty, too long, or has what isn't printable.
    """
    if value is not None and (not value or len(value) > TEXT_LENGTH_MAX or not value.isprintable()):
        raise RequestRefused(f"must have 1 to {TEXT_LENGTH_MAX} printable characters (got {shown(value)})", field=field, value=value)


def require_time(valid_from: datetime | None, valid_to: datetime | None) -> None:
    """Returns if there is a moment between the two.

    Raises:
        RequestRefused: there is none.
    """
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        raise RequestRefused(f"{valid_to.isoformat()} is not after {valid_from.isoformat()}", field="to", value=valid_to)


def add_dated(connection: Connection, dated: Dated, field: str, why: str, **told: Any) -> Any:
    """Writes it, and raises the revision; the very same again changes nothing and shows what is there.

    Raises:
        RequestRefused: something that is there excludes it at one time at least; the error names it.
    """
    require_time(told["valid_from"], told["valid_to"])
    clash = find_clash(connection, dated, **told)
    if clash is not None:
        same = [name for name in (*dated.columns[:-1], "valid_from", "valid_to") if getattr(clash, name) != told[name]]
        if not same:
            return clash
        raise RequestRefused(f"{why}: {clash.id} ({_words(clash)}) and this one ({_words(told)}) hold at one time", field=field, value=clash.id)
    raise_revision(connection)
    return write_dated(connection, dated, **told)


def close(database: Database, actor: Actor, dated: Dated, row_id: int, *, end: datetime, closed_by: str) -> Any:
    """Ends something that is open; what happened before `end` is rated as ever. The same end again changes nothing.

    Raises:
        NotFound: there is none with this id.
        RequestRefused: it has another end already, or begins only at `end` or later.
    """
    require_root(actor, "change prices")
    with database.transaction() as connection:
        hold_prices(connection)
        found = find_dated(connection, dated, row_id)
        if found is None:
            raise NotFound(f"there is no {row_id} in {dated.table}", field="id", value=row_id)
        if found.valid_to == end:
            return found
        if found.valid_to is not None:
            raise RequestRefused(f"{row_id} ends at {found.valid_to.isoformat()} already", field="end", value=end)
        if found.valid_from is not None and end <= found.valid_from:
            raise RequestRefused(f"{row_id} begins only at {found.valid_from.isoformat()}: name a later end", field="end", value=end)
        raise_revision(connection)
        return close_dated(connection, dated, row_id, end, closed_by)


def _words(entry: Any) -> str:
    """What an entry says, in a line."""
    told = entry if isinstance(entry, dict) else {field.name: getattr(entry, field.name) for field in fields(entry)}
    left_out = {"id", "approved_by", "approved_at", "created_by", "created_at", "closed_by"}
    return ", ".join(f"{name} {_plain(value)}" for name, value in told.items() if value is not None and name not in left_out)


def _plain(value: object) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else one_line(str(value))
