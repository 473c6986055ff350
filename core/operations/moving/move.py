"""The one way in which balances move beside usage: ledger entries, balances, warning thresholds and alerts together."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.domain.billing import AlertKind, BillingModel, ReferenceType, TransactionType, alerts_at, crossings, warning_threshold
from core.domain.money import ZERO
from core.domain.request import AMOUNT_MAX
from core.domain.settings import BillingSettings
from core.errors import RequestRefused
from core.storage.accounts import LockedAccount, set_balances
from core.storage.balance_alerts import BalanceAlert, write_alerts
from core.storage.movements import Movement, insert_movements


@dataclass(frozen=True, slots=True)
class Moved:
    """What movements came to: their transaction ids in order, and the accounts as they are now."""

    transaction_ids: list[int]
    recorded_at: datetime
    accounts: dict[int, LockedAccount]


def move(
    connection: Connection,
    movements: Sequence[Movement],
    accounts: Mapping[int, LockedAccount],
    settings: BillingSettings,
    batch_id: int | None = None,
) -> Moved:
    """Books the movements of one mandate, and writes an alert for each line that a balance crossed by them.

    Args and errors are those of `book`.
    """
    moved = book(connection, movements, accounts, settings, batch_id)
    alerts = [alert for i, before in accounts.items() for alert in alerts_between(before, moved.accounts[i], settings)]
    write_alerts(connection, alerts, batch_id)
    return moved


def book(
    connection: Connection,
    movements: Sequence[Movement],
    accounts: Mapping[int, LockedAccount],
    settings: BillingSettings,
    batch_id: int | None,
) -> Moved:
    """Writes the movements of one mandate and moves each balance once by their sum; the alerts that follow are the caller's.

    A CREDIT and an incoming leg of a switch set the account's warning threshold anew.

    Args:
        connection: of the transaction in which `accounts` were locked.
        movements: at least one; each balance account is among `accounts`.
        accounts: by id, as they are before.
        settings: under which the movements are made.
        batch_id: of the batch that the rollup has to look at, for movements that change statistics.

    Raises:
        RequestRefused: a balance, or what it moves by, would be more than the books can hold.
    """
    deltas: dict[int, Decimal] = defaultdict(lambda: ZERO)
    refilled = set()
    for movement in movements:
        if movement.balance_account_id is not None:
            deltas[movement.balance_account_id] += movement.delta
            if _refills(movement):
                refilled.add(movement.balance_account_id)
    after = {i: _after(accounts[i], delta, settings if i in refilled else None) for i, delta in deltas.items()}
    transaction_ids, recorded_at = insert_movements(connection, movements, settings, batch_id)
    set_balances(connection, after.values())
    return Moved(transaction_ids, recorded_at, {**accounts, **after})


def alerts_between(before: LockedAccount, after: LockedAccount, settings: BillingSettings) -> list[BalanceAlert]:
    """One alert for each line that the account crossed from `before` to `after`; none for an account that doesn't pay under this model."""

    def lines(account: LockedAccount) -> dict[AlertKind, Decimal]:
        return alerts_at(settings.billing_model, account.balance, account.warning_threshold, account.credit_limit, settings.warning_threshold_percent)

    if not pays(settings.billing_model, before):
        return []
    return [BalanceAlert(before, after.balance, crossing, settings) for crossing in crossings(lines(before), lines(after))]


def pays(model: BillingModel, account: LockedAccount) -> bool:
    """Whether usage is paid from this account under the model."""
    return model is not BillingModel.UNLIMITED and model.pool_pays == account.is_pool


def _refills(movement: Movement) -> bool:
    return movement.transaction_type is TransactionType.CREDIT or (movement.reference_type is ReferenceType.SWITCH and movement.amount > 0)


def _after(account: LockedAccount, delta: Decimal, settings: BillingSettings | None) -> LockedAccount:
    balance = account.balance + delta
    if max(abs(balance), abs(delta)) > AMOUNT_MAX:
        raise RequestRefused(f"amount: would take account {account.id} from {account.balance} to {balance} CHF, beyond what the books can hold")
    if settings is None:
        return account._replace(balance=balance)
    return account._replace(balance=balance, warning_threshold=warning_threshold(settings.warning_threshold_percent, balance))
