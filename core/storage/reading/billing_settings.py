"""SQL that shows billing settings, each mandate's with its name."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.domain.billing import BillingModel
from core.storage.reading.listing import Listing
from core.storage.reading.names import join_mandate, mandate_name
from core.storage.rows import row

_SHOWN = f"""
    r.mandate_id, {mandate_name("r.mandate_id")} AS mandate_name, r.billing_model, r.default_user_credit,
    r.warning_threshold_percent, r.block_on_zero_balance, r.notify_on_warning, r.notification_emails, r.billing_address, r.time_zone,
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
    """
    r.version, r.changed_by, r.changed_at, r.billing_model, r.default_user_credit, r.warning_threshold_percent, r.block_on_zero_balance,
    r.notify_on_warning, r.notification_emails, r.billing_address, r.time_zone
    """,
    ("version",),
    conditions={"mandate_id": "r.mandate_id = :mandate_id"},
)


@dataclass(frozen=True, slots=True)
class MandateSettings:
    """A mandate's billing settings, whole; amounts in CHF.

    `time_zone_missing`: which zone it should have had and couldn't, since it wasn't known; until somebody chooses one.
    """

    mandate_id: str
    mandate_name: str
    billing_model: BillingModel
    default_user_credit: Decimal
    warning_threshold_percent: Decimal
    block_on_zero_balance: bool
    notify_on_warning: bool
    notification_emails: list[str]
    billing_address: dict[str, str]
    time_zone: str
    version: int
    created_at: datetime
    updated_at: datetime
    time_zone_missing: str | None


def find_settings(connection: Connection, mandate_id: str) -> MandateSettings | None:
    """The mandate's settings, if it has some."""
    return row(connection, MandateSettings, _FIND, mandate_id=mandate_id)
