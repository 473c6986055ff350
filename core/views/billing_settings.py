"""Billing settings, for reading."""

from core.storage.database import Database
from core.storage.reading import billing_settings
from core.storage.reading.billing_settings import MandateSettings
from core.views.mandates import without_settings
from core.views.paging import LIMIT_DEFAULT, check_page


def settings_of(database: Database, mandate_id: str) -> MandateSettings:
    """The mandate's billing settings, amounts in CHF.

    Raises:
        NotFound: the mandate has none; the error tells whether the directory knows it.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    with database.snapshot() as connection:
        found = billing_settings.find_settings(connection, mandate_id)
        if found is None:
            raise without_settings(connection, mandate_id)
    return found


def list_settings(database: Database, *, limit: int = LIMIT_DEFAULT, offset: int = 0) -> list[MandateSettings]:
    """The billing settings of every mandate that has some, by mandate id.

    Raises:
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    check_page(limit, offset)
    with database.snapshot() as connection:
        return billing_settings.list_settings(connection, limit, offset)
