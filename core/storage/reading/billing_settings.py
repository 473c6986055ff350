"""SQL that shows billing settings, each mandate's with its name."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from core.domain.billing import BillingModel
from core.storage.reading.names import mandate_name

_FIND = text(f"""
    SELECT s.mandate_id, {mandate_name("s.mandate_id")} AS mandate_name, s.billing_model, s.default_user_credit,
           s.warning_threshold_percent, s.block_on_zero_balance, s.notify_on_warning, s.notification_emails, s.billing_address, s.time_zone,
           s.version, s.created_at, s.updated_at
      FROM billing_settings s
      LEFT JOIN directory_mandates d ON d.id = s.mandate_id
     WHERE s.mandate_id = :mandate_id
""")

_LIST = text(f"""
    SELECT s.mandate_id, {mandate_name("s.mandate_id")} AS mandate_name, s.billing_model, s.default_user_credit,
           s.warning_threshold_percent, s.block_on_zero_balance, s.notify_on_warning, s.notification_emails, s.billing_address, s.time_zone,
           s.version, s.created_at, s.updated_at
      FROM billing_settings s
      LEFT JOIN directory_mandates d ON d.id = s.mandate_id
     WHERE CAST(:mandate_ids AS text[]) IS NULL OR s.mandate_id = ANY(CAST(:mandate_ids AS text[]))
     ORDER BY s.mandate_id LIMIT :limit OFFSET :offset
""")


_HISTORY = text("""
    SELECT version, changed_by, changed_at, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
           notify_on_warning, notification_emails, billing_address, time_zone
      FROM billing_settings_history
     WHERE mandate_id = :mandate_id
     ORDER BY version DESC LIMIT :limit OFFSET :offset
""")


@dataclass(frozen=True, slots=True)
class KeptSettings:
    """One version of a mandate's settings, as the history has it: who made it, when, and every field; amounts in CHF."""

    version: int
    changed_by: str
    changed_at: datetime
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MandateSettings:
    """A mandate's billing settings, whole; amounts in CHF."""

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


def find_settings(connection: Connection, mandate_id: str) -> MandateSettings | None:
    """The mandate's settings, if it has some."""
    row = connection.execute(_FIND, {"mandate_id": mandate_id}).one_or_none()
    return None if row is None else _settings(row)


def list_settings(connection: Connection, mandate_ids: list[str] | None, limit: int, offset: int) -> list[MandateSettings]:
    """The settings of these mandates, None: of every one, by mandate id."""
    return [_settings(row) for row in connection.execute(_LIST, {"mandate_ids": mandate_ids, "limit": limit, "offset": offset})]


def list_versions(connection: Connection, mandate_id: str, limit: int, offset: int) -> list[KeptSettings]:
    """The versions of the mandate's settings, newest first."""
    rows = connection.execute(_HISTORY, {"mandate_id": mandate_id, "limit": limit, "offset": offset}).mappings()
    kept = [dict(row) for row in rows]
    return [KeptSettings(fields.pop("version"), fields.pop("changed_by"), fields.pop("changed_at"), fields) for fields in kept]


def _settings(row: Row[Any]) -> MandateSettings:
    columns: list[Any] = list(row)
    return MandateSettings(columns[0], columns[1], BillingModel(columns[2]), *columns[3:])
