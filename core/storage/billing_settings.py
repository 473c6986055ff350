"""SQL of billing settings and their history."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal

from sqlalchemy import Connection, Row, text

from core.domain.billing import BillingModel
from core.domain.settings import BillingSettings
from core.storage.known_zones import TakenZone, zones_to_take

_LOAD = text("""
    SELECT s.mandate_id, s.billing_model, s.default_user_credit, s.warning_threshold_percent, s.time_zone, s.version,
           (SELECT true FROM parked_events p WHERE p.mandate_id = s.mandate_id LIMIT 1) AS has_parked
      FROM billing_settings s
     WHERE s.mandate_id = ANY(:mandate_ids)
""")

_OPEN = text("""
    WITH opened AS (
        INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent,
                                      block_on_zero_balance, notify_on_warning, time_zone, time_zone_missing)
        SELECT m.id, :billing_model, :default_user_credit, :warning_threshold_percent, true, true, m.time_zone, m.missing
          FROM unnest(CAST(:mandate_ids AS text[]), CAST(:time_zones AS text[]), CAST(:missing AS text[])) AS m(id, time_zone, missing)
         ORDER BY m.id COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING *
    )
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                          block_on_zero_balance, notify_on_warning, notification_emails, billing_address, time_zone, changed_by)
    SELECT mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
           block_on_zero_balance, notify_on_warning, notification_emails, billing_address, time_zone, :changed_by
      FROM opened
    RETURNING mandate_id
""")

_INSERT = text("""
    WITH inserted AS (
        INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                      notify_on_warning, notification_emails, billing_address, time_zone, time_zone_missing)
        VALUES (:mandate_id, :billing_model, :default_user_credit, :warning_threshold_percent, :block_on_zero_balance,
                :notify_on_warning, CAST(:notification_emails AS text[]), CAST(:billing_address AS jsonb), :time_zone,
                :time_zone_missing)
        RETURNING *
    )
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                          block_on_zero_balance, notify_on_warning, notification_emails, billing_address, time_zone, changed_by)
    SELECT mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
           block_on_zero_balance, notify_on_warning, notification_emails, billing_address, time_zone, :changed_by
      FROM inserted
""")

_CHANGE = text("""
    WITH changed AS (
        UPDATE billing_settings
           SET billing_model = :billing_model, default_user_credit = :default_user_credit, warning_threshold_percent = :warning_threshold_percent,
               block_on_zero_balance = :block_on_zero_balance, notify_on_warning = :notify_on_warning,
               notification_emails = CAST(:notification_emails AS text[]), billing_address = CAST(:billing_address AS jsonb),
               time_zone = :time_zone, time_zone_missing = :time_zone_missing, version = version + 1, updated_at = now()
         WHERE mandate_id = :mandate_id
        RETURNING *
    )
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                          block_on_zero_balance, notify_on_warning, notification_emails, billing_address, time_zone, changed_by)
    SELECT mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
           block_on_zero_balance, notify_on_warning, notification_emails, billing_address, time_zone, :changed_by
      FROM changed
""")

_BILLED_MODEL = text("""
    SELECT billing_model FROM billing_settings_history
     WHERE mandate_id = :mandate_id AND billing_model <> 'UNLIMITED' ORDER BY version DESC LIMIT 1
""")

_HAS_TRANSACTIONS = text("SELECT EXISTS (SELECT FROM transactions WHERE mandate_id = :mandate_id)")


DEFAULT_BILLING_MODEL = BillingModel.PREPAY_USER
DEFAULT_USER_CREDIT = Decimal(10)  # CHF
DEFAULT_WARNING_THRESHOLD_PERCENT = Decimal(10)


def load_settings(connection: Connection, mandate_ids: Iterable[str]) -> tuple[dict[str, BillingSettings], set[str]]:
    """The settings of those mandates that have some, and which of them have parked events."""
    rows = connection.execute(_LOAD, {"mandate_ids": list(mandate_ids)}).all()
    return {row.mandate_id: _settings(row) for row in rows}, {row.mandate_id for row in rows if row.has_parked}


def open_settings(connection: Connection, time_zones: Mapping[str, str | None], changed_by: str, *, default_time_zone: str) -> int:
    """Each mandate of `time_zones` has settings afterwards: where it had none, with the defaults and the zone named for it, as `zones_to_take`.

    Returns the number made. Race-free: any number of callers at once make one row. A replay makes none.
    """
    taken = zones_to_take(connection, time_zones, default_time_zone)
    rows = connection.execute(
        _OPEN,
        {
            "mandate_ids": list(taken),
            "time_zones": [zone.name for zone in taken.values()],
            "missing": [zone.missing for zone in taken.values()],
            "billing_model": DEFAULT_BILLING_MODEL.value,
            "default_user_credit": DEFAULT_USER_CREDIT,
            "warning_threshold_percent": DEFAULT_WARNING_THRESHOLD_PERCENT,
            "changed_by": changed_by,
        },
    )
    return len(rows.all())


def default_settings(time_zone: TakenZone) -> dict[str, object]:
    """What new settings have, by column, where nothing else is asked for."""
    return {
        "billing_model": DEFAULT_BILLING_MODEL,
        "default_user_credit": DEFAULT_USER_CREDIT,
        "warning_threshold_percent": DEFAULT_WARNING_THRESHOLD_PERCENT,
        "block_on_zero_balance": True,
        "notify_on_warning": True,
        "notification_emails": [],
        "billing_address": {},
        "time_zone": time_zone.name,
        "time_zone_missing": time_zone.missing,
    }


def insert_settings(connection: Connection, mandate_id: str, values: Mapping[str, object], changed_by: str) -> None:
    """Gives a mandate that has none settings of these values (every column of `default_settings`), as version 1.

    The caller holds the mandate.
    """
    connection.execute(_INSERT, _parameters(mandate_id, values, changed_by))


def change_settings(connection: Connection, mandate_id: str, values: Mapping[str, object], changed_by: str) -> None:
    """Sets every column that `values` (amounts in CHF) names, raises the version by one and keeps it in the history.

    `values` names all that may change, `billing_address` as a dictionary. The caller holds the mandate.
    """
    connection.execute(_CHANGE, _parameters(mandate_id, values, changed_by))


def find_billed_model(connection: Connection, mandate_id: str) -> BillingModel | None:
    """The last model that the mandate had under which somebody pays, if it ever had one."""
    found = connection.execute(_BILLED_MODEL, {"mandate_id": mandate_id}).scalar_one_or_none()
    return None if found is None else BillingModel(found)


def has_transactions(connection: Connection, mandate_id: str) -> bool:
    """Whether anything was ever booked for the mandate."""
    found: bool = connection.execute(_HAS_TRANSACTIONS, {"mandate_id": mandate_id}).scalar_one()
    return found


def _parameters(mandate_id: str, values: Mapping[str, object], changed_by: str) -> dict[str, object]:
    return {**values, "billing_address": json.dumps(values["billing_address"]), "mandate_id": mandate_id, "changed_by": changed_by}


def _settings(row: Row[tuple[object, ...]]) -> BillingSettings:
    return BillingSettings(
        row.mandate_id,
        BillingModel(row.billing_model),
        row.default_user_credit,
        row.warning_threshold_percent,
        row.time_zone,
        row.version,
    )
