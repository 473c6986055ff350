"""Billing settings, for reading."""

from collections.abc import Collection

from core.domain.rights import Actor, require_mandate, visible_mandates
from core.storage.database import Database
from core.storage.reading import billing_settings
from core.storage.reading.billing_settings import MandateSettings
from core.views.mandates import rows_of_mandates, without_settings
from core.views.paging import LIMIT_DEFAULT, rows_of


def settings_of(database: Database, actor: Actor, mandate_id: str) -> MandateSettings:
    """The mandate's billing settings, amounts in CHF.

    Raises:
        Forbidden: the actor may not see them.
        NotFound: the mandate has none; the error tells whether the directory knows it.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_mandate(actor, mandate_id, "read the settings")
    with database.snapshot() as connection:
        found = billing_settings.find_settings(connection, mandate_id)
        if found is None:
            raise without_settings(connection, mandate_id)
    return found


def list_settings(
    database: Database,
    actor: Actor,
    mandate_ids: Collection[str] | None = None,
    *,
    limit: int = LIMIT_DEFAULT,
    offset: int = 0,
    after: str | None = None,
) -> list[MandateSettings]:
    """The billing settings of these mandates, or of all that the actor may see, where they have some, by mandate id.

    `after` is the mandate id of the last row already seen.

    Raises:
        Forbidden: the actor may not see one of them.
        NotFound: there is no such mandate.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    visible = visible_mandates(actor, mandate_ids, "list the settings")
    page = rows_of(limit, offset, None if after is None else (after,))
    return rows_of_mandates(database, mandate_ids, lambda connection: billing_settings.list_settings(connection, visible, page))
