"""The history of billing settings: who changed what, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.request import RowId
from core.asking.view import mandate, view
from core.database.listing import Rows
from core.directory.read import without_settings
from core.events.contract import Id
from core.settings.sql.shown import HISTORY


class _Kept(NamedTuple):
    """One version of a mandate's settings, as the history has it: who made it, when, and every field."""

    version: int
    changed_by: str
    changed_at: datetime
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """One version: field (of the address `billing_address.city`) to its value before and after. The first one has every field."""

    version: int
    changed_at: datetime
    changed_by: str
    changes: dict[str, list[object]]


@view("view.settings_history", sees=mandate("read the history of the settings"))
def settings_history(
    connection: Connection, mandate_id: Id, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, before: RowId | None = None
) -> list[SettingsChange]:
    """The changes of the mandate's settings, newest first; `before` is the version of the last row already seen."""
    versions: list[_Kept | None] = [*HISTORY.rows(connection, _kept, Rows(limit + 1, offset, before), mandate_id=mandate_id)]
    if not versions and offset == 0 and before is None:
        raise without_settings(connection, mandate_id)
    if len(versions) <= limit:
        versions.append(None)  # nothing was before the first one
    return [_change(newer, older) for newer, older in pairwise(versions) if newer is not None]


def _kept(*, version: int, changed_by: str, changed_at: datetime, **fields: object) -> _Kept:
    return _Kept(version, changed_by, changed_at, fields)


def _change(newer: _Kept, older: _Kept | None) -> SettingsChange:
    before, after = _flat(older.fields) if older else {}, _flat(newer.fields)
    changes = {name: [before.get(name), after.get(name)] for name in {**before, **after} if name not in before or before[name] != after.get(name)}
    return SettingsChange(newer.version, newer.changed_at, newer.changed_by, changes)


def _flat(fields: Mapping[str, object]) -> dict[str, object]:
    """The lines of the address as fields of their own."""
    flat = {name: value for name, value in fields.items() if name != "billing_address"}
    address = fields["billing_address"]
    return flat | {f"billing_address.{name}": value for name, value in (address.items() if isinstance(address, dict) else ())}
