"""SQL that shows billing settings, each mandate's with its name."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from core.domain.billing import BillingModel
from core.storage.reading.listing import Listing, Rows
from core.storage.reading.names import join_mandate, mandate_name

_SHOWN = f"""
    r.mandate_id, {mandate_name("r.mandate_id")} AS mandate_name, r.billing_model, r.default_user_credit,
    r.warning_threshold_percent, r.block_on_zero_balance, r.notify_on_warning, r.notification_emails, r.billing_address, r.time_zone,
    r.version, r.created_at, r.updated_at, r.time_zone_missing
"""
_NAMES = join_mandate("r.mandate_id")
_FIND = text(f"SELECT {_SHOWN} FROM billing_settings r {_NAMES} WHERE r.mandate_id = :mandate_id")

_LIST = Listing(
    "billing_settings",
    _SHOWN,
    ("mandate_id",),
    ascending=True,
    joined=_NAMES,
    conditions={"mandate_ids": "r.mandate_id = ANY(:mandate_ids)"},
)

_HISTORY = Listing(
    "billing_settings_history",
    """
    r.version, r.changed_by, r.changed_at, r.billing_model, r.default_user_credit, r.warning_threshold_percent, r.block_on_zero_balance,
    r.notify_on_warning, r.notification_emails, r.billing_address, r.time_zone
    """,
    ("version",),
    conditions={"mandate_id": "r.mandate_id = :mandate_id"},
)


@dataclass(frozen=True, slots=True)
class KeptSettings:
    """One version of a mandate's settings, as the history has it: who made it, when, and every field; amounts in CHF."""

    version: int
    changed_by: str
    changed_at: datetime
    fields: dict[str, Any]


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
    row = connection.execute(_FIND, {"mandate_id": mandate_id}).one_or_none()
    return None if row is None else _settings(row)


def list_settings(connection: Connection, mandate_ids: list[str] | None, page: Rows) -> list[MandateSettings]:
    """The settings of these mandates, None: of every one, by mandate id."""
    return [_settings(row) for row in _LIST.rows(connection, page, mandate_ids=mandate_ids)]


def list_versions(connection: Connection, mandate_id: str, page: Rows) -> list[KeptSettings]:
    """The versions of the mandate's settings, newest first."""
    rows = _HISTORY.rows(connection, page, mandate_id=mandate_id).mappings()
    kept = [dict(row) for row in rows]
    return [KeptSettings(fields.pop("version"), fields.pop("changed_by"), fields.pop("changed_at"), fields) for fields in kept]


def _settings(row: Row[Any]) -> MandateSettings:
    columns: list[Any] = list(row)
    return MandateSettings(columns[0], columns[1], BillingModel(columns[2]), *columns[3:])
