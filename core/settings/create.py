"""Creating a mandate's billing settings before anything is recorded for it."""

from collections.abc import Mapping

from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.config import Configuration
from core.database.database import Database
from core.database.known_zones import zones_to_take
from core.database.locks import hold_mandates
from core.errors import Conflict
from core.printable import shown
from core.settings.changes import checked_settings, merged_address
from core.settings.model import MandateSettings
from core.settings.sql.settings import default_settings, open_as_given
from core.settings.sql.shown import find_settings
from core.settings.zones import named_zone, require_known_zone


def create_settings(
    database: Database, actor: Actor, mandate_id: str, values: Mapping[str, object], *, created_by: str, config: Configuration
) -> MandateSettings:
    """Gives the mandate settings, version 1: `values` (any of `core.settings.model.SETTINGS`), and the defaults for the rest.

    Of many callers at once one creates them.

    Raises:
        Conflict: it has settings already.
        NotFound: the directory doesn't know the mandate.
        RequestRefused: a field is wrong.
        StorageUnavailable: it is not known whether it was done; look whether there are settings now.
    """
    require_root(actor, "create billing settings")
    with database.transaction() as connection:
        hold_mandates(connection, [mandate_id])
        current = find_settings(connection, mandate_id)
        if current is not None:
            raise Conflict(
                f"mandate {shown(mandate_id)} has billing settings already, version {current.version}: update them",
                field="mandate_id",
                value=mandate_id,
            )
        return created_settings(connection, mandate_id, values, created_by, config)


def created_settings(
    connection: Connection, mandate_id: str, values: Mapping[str, object], created_by: str, config: Configuration
) -> MandateSettings:
    """New settings of a mandate that the caller holds and that has none.

    Raises:
        NotFound, RequestRefused: as `create_settings`.
    """
    checked = checked_settings(values, created_by)
    named = named_zone(connection, mandate_id, config)
    if "time_zone" in checked:
        require_known_zone(connection, named := checked["time_zone"])
    zone = zones_to_take(connection, {mandate_id: named}, config.default_time_zone)[mandate_id]
    new = {**default_settings(zone), **checked}
    new["billing_address"] = merged_address({}, checked.get("billing_address", {}))
    if not open_as_given(connection, {mandate_id: new}, created_by):
        raise Conflict(f"mandate {shown(mandate_id)} has got billing settings in this moment: read them", field="mandate_id", value=mandate_id)
    created = find_settings(connection, mandate_id)
    assert created is not None, "settings just made are there"
    return created
