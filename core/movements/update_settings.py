"""Changing a mandate's billing settings: checked as a whole, versioned, never the billing model once money has moved."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from core.alerts.sql.outbox import hold_outbox, wait_again
from core.asking.rights import Actor, require_root
from core.billing import BillingModel
from core.caps.recount import follow_zone
from core.config import Configuration
from core.database.database import Database
from core.database.locks import hold_mandates
from core.errors import RequestRefused
from core.ledger.crossed import alerts_between
from core.ledger.hold import require_version
from core.ledger.sql.accounts import find_pools, lock_accounts
from core.ledger.sql.alerts import write_alerts
from core.printable import shown
from core.settings.changes import checked_settings, merged_address
from core.settings.model import SETTINGS, MandateSettings
from core.settings.sql.settings import change_settings, has_open_holds, has_transactions, load_settings, open_settings
from core.settings.sql.shown import find_settings
from core.settings.zones import named_zone, require_known_zone


def update_settings(
    database: Database,
    actor: Actor,
    mandate_id: str,
    changes: Mapping[str, object],
    *,
    expected_version: int | None = None,
    changed_by: str,
    config: Configuration,
) -> MandateSettings:
    """Changes the fields that `changes` names and returns the settings as they are then; nothing moves, no usage waits long.

    A mandate that the directory knows, enabled or not, first gets the defaults. What changes nothing makes no version: replay it freely.
    An alert is written for each line of a postpaid pool that its debt stands on another side of by that. Where `notify_on_warning`
    is set anew, the lines that accounts are beyond by then are published, if their alerts were withheld.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        mandate_id: whose settings.
        changes: any of `core.settings.model.SETTINGS`; amounts in CHF, exact.
        expected_version: the version that the caller has seen; None: whatever it is.
        changed_by: who asks for it, kept in the history.
        config: its default time zone and rule for unknown mandates are used where the settings are opened.

    Raises:
        NotFound: the mandate has no settings and the directory doesn't know it.
        RequestRefused: a field is wrong, the version is another one, or the billing model would change after transactions.
        StorageUnavailable: it is not known whether it was done; look at the version, then ask again.
    """
    require_root(actor, "update billing settings")
    checked = checked_settings(changes, changed_by)
    with database.transaction() as connection:
        _hold(connection, mandate_id, checked)
        current = find_settings(connection, mandate_id)
        if current is None:
            current = _opened(connection, mandate_id, changed_by, config)
        require_version(current, expected_version)
        after = _changed(current, checked)
        if all(getattr(current, name) == value for name, value in after.items()):
            return current
        _require_possible(connection, current, after)
        change_settings(connection, mandate_id, {**after, "billing_model": after["billing_model"].value}, changed_by)
        changed = find_settings(connection, mandate_id)
        assert changed is not None, "settings are never deleted"
        if changed.time_zone != current.time_zone:
            follow_zone(connection, mandate_id)
        _tell(connection, current, changed)
    return changed


def _changed(current: MandateSettings, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Every field as it is to be."""
    after = {name: getattr(current, name) for name in (*SETTINGS, "time_zone_missing")} | dict(changes)
    after["billing_address"] = merged_address(current.billing_address, changes.get("billing_address", {}))
    if "time_zone" in changes:
        after["time_zone_missing"] = None  # somebody has chosen
    return after


def _hold(connection: Connection, mandate_id: str, changes: Mapping[str, object]) -> None:
    """Nobody records usage of the mandate meanwhile, nor publishes alerts where more of them may wait."""
    if changes.get("notify_on_warning"):
        hold_outbox(connection)
    hold_mandates(connection, [mandate_id])


def _tell(connection: Connection, old: MandateSettings, changed: MandateSettings) -> None:
    """What the change means for alerts. Who begins to pay under a plain update has no transactions, and was beyond no line."""
    if changed.billing_model is BillingModel.CREDIT_POSTPAY:
        new = load_settings(connection, [old.mandate_id])[0][old.mandate_id]
        before = old if old.billing_model is new.billing_model else replace(old, billing_model=BillingModel.UNLIMITED)
        pools = lock_accounts(connection, find_pools(connection, [old.mandate_id]).values())
        write_alerts(connection, [alert for pool in pools for alert in alerts_between(pool, pool, new, before)], None)
    if changed.notify_on_warning and not old.notify_on_warning:
        wait_again(connection, old.mandate_id)


def _require_possible(connection: Connection, current: MandateSettings, after: Mapping[str, Any]) -> None:
    if after["billing_model"] != current.billing_model:
        if has_transactions(connection, current.mandate_id):
            raise _model_switch_needed(current, "transactions", after["billing_model"])
        if has_open_holds(connection, current.mandate_id):
            raise _model_switch_needed(current, "open holds", after["billing_model"])
    if after["time_zone"] != current.time_zone:
        require_known_zone(connection, after["time_zone"])


def _opened(connection: Connection, mandate_id: str, changed_by: str, config: Configuration) -> MandateSettings:
    named = {mandate_id: named_zone(connection, mandate_id, config)}
    open_settings(connection, named, changed_by, default_time_zone=config.default_time_zone)
    opened = find_settings(connection, mandate_id)
    assert opened is not None, "settings just opened are there"
    return opened


def _model_switch_needed(current: MandateSettings, has: str, wanted: BillingModel) -> RequestRefused:
    return RequestRefused(
        f"mandate {shown(current.mandate_id)} has {has} under {current.billing_model}; a plain update can't make it"
        f" {wanted}: that takes a model switch, which moves the balances as well (`tollbook switch`)",
        field="billing_model",
        value=wanted,
    )
