"""Billing settings, for reading."""

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.view import mandate, view
from core.database.listing import Rows
from core.directory.read import Mandates, mandates, without_settings
from core.events.contract import Id, Label
from core.settings.model import MandateSettings
from core.settings.sql.shown import LIST, find_settings


@view("view.settings_of", sees=mandate("read the settings"))
def settings_of(connection: Connection, mandate_id: Id) -> MandateSettings:
    """The mandate's billing settings, amounts in CHF; where it has none, the error tells whether the directory knows it."""
    found = find_settings(connection, mandate_id)
    if found is None:
        raise without_settings(connection, mandate_id)
    return found


@view("view.list_settings", sees=mandates("list the settings"))
def list_settings(
    connection: Connection,
    mandate_ids: Mandates = None,
    *,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    after: Label | None = None,
) -> list[MandateSettings]:
    """The billing settings of these mandates, or of all that the actor may see, where they have some, by mandate id.

    `after` is the mandate id of the last row already seen.
    """
    return LIST.rows(connection, MandateSettings, Rows(limit, offset, after), mandate_ids=mandate_ids)
