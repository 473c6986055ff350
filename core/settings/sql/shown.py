"""SQL that shows billing settings, each mandate's with its name."""

from sqlalchemy import Connection, text

from core.database.event_columns import columns
from core.database.listing import Listing
from core.database.rows import row
from core.directory.sql.names import join_mandate, mandate_name
from core.settings.model import SETTINGS, MandateSettings

_SHOWN = f"""
    r.mandate_id, {mandate_name("r.mandate_id")} AS mandate_name, {columns("r", SETTINGS)},
    r.version, r.created_at, r.updated_at, r.time_zone_missing
"""
_NAMES = join_mandate("r.mandate_id")
_FIND = text(f"SELECT {_SHOWN} FROM billing_settings r {_NAMES} WHERE r.mandate_id = :mandate_id")

LIST = Listing(
    "billing_settings",
    _SHOWN,
    ("mandate_id",),
    ascending=True,
    joined=_NAMES,
    conditions={"mandate_ids": "r.mandate_id = ANY(:mandate_ids)"},
)

HISTORY = Listing(
    "billing_settings_history",
    columns("r", ("version", "changed_by", "changed_at", *SETTINGS)),
    ("version",),
    conditions={"mandate_id": "r.mandate_id = :mandate_id"},
)


def find_settings(connection: Connection, mandate_id: str) -> MandateSettings | None:
    """The mandate's settings, if it has some."""
    return row(connection, MandateSettings, _FIND, mandate_id=mandate_id)
