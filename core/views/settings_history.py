"""The history of billing settings: who changed what, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from core.domain.rights import Actor, require_mandate
from core.storage.database import Database
from core.storage.reading.billing_settings import KeptSettings, list_versions
from core.views.mandates import without_settings
from core.views.paging import LIMIT_DEFAULT, rows_of


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """One version: field (of the address `billing_address.city`) to its value before and after. The first one has every field."""

    version: int
    changed_at: datetime
    changed_by: str
    changes: dict[str, list[object]]


def settings_history(
    database: Database, actor: Actor, mandate_id: str, *, limit: int = LIMIT_DEFAULT, offset: int = 0, before: int | None = None
) -> list[SettingsChange]:
    """The changes of the mandate's settings, newest first; `before` is the version of the last row already seen.

    Raises:
        Forbidden: the actor may not see them.
        NotFound: it has no settings.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_mandate(actor, mandate_id, "read the history of the settings")
    page = rows_of(limit, offset, None if before is None else (before,))
    with database.snapshot() as connection:
        versions: list[KeptSettings | None] = [*list_versions(connection, mandate_id, page._replace(limit=limit + 1))]
        if not versions and offset == 0 and before is None:
            raise without_settings(connection, mandate_id)
    if len(versions) <= limit:
        versions.append(None)  # nothing was before the first one
    return [_change(newer, older) for newer, older in pairwise(versions) if newer is not None]


def _change(newer: KeptSettings, older: KeptSettings | None) -> SettingsChange:
    before, after = _flat(older.fields) if older else {}, _flat(newer.fields)
    changes = {name: [before.get(name), after.get(name)] for name in {**before, **after} if name not in before or before[name] != after.get(name)}
    return SettingsChange(newer.version, newer.changed_at, newer.changed_by, changes)


def _flat(fields: Mapping[str, object]) -> dict[str, object]:
    """The lines of the address as fields of their own."""
    flat = {name: value for name, value in fields.items() if name != "billing_address"}
    address = fields["billing_address"]
    return flat | {f"billing_address.{name}": value for name, value in (address.items() if isinstance(address, dict) else ())}
