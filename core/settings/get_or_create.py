"""Billing settings that are there, or made with the defaults."""

from core.asking.rights import Actor, require_root
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.database.locks import hold_mandates
from core.settings.changes import checked_settings
from core.settings.create import created_settings
from core.settings.model import MandateSettings
from core.settings.sql.shown import find_settings


def get_or_create_settings(
    database: Database, actor: Actor, mandate_id: str, *, billing_model: BillingModel | str | None = None, created_by: str, config: Configuration
) -> MandateSettings:
    """The mandate's settings; where it has none, first the defaults, under `billing_model` if that is named.

    Settings that are there stay as they are, whatever model they have. Of any number of callers at once one makes them, and
    all get the same. A replay makes none.

    Raises:
        NotFound: it has none and the directory doesn't know the mandate.
        RequestRefused: the model or the name of the creator is wrong.
        StorageUnavailable: it is not known whether they were made; ask again.
    """
    require_root(actor, "create billing settings")
    values = {} if billing_model is None else {"billing_model": billing_model}
    checked_settings(values, created_by)
    with database.transaction() as connection:
        found = find_settings(connection, mandate_id)
    if found is not None:
        return found
    with database.transaction() as connection:
        hold_mandates(connection, [mandate_id])
        return find_settings(connection, mandate_id) or created_settings(connection, mandate_id, values, created_by, config)
