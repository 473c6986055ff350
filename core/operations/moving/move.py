"""The one way in which balances move beside usage: ledger entries, balances, warning thresholds and alerts together."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from sqlalchemy import Connection

from core.domain.billing import AlertKind, BillingModel, ReferenceType, TransactionType, alerts_at, crossings, warning_threshold
from core.domain.money import ZERO
from core.domain.request import AMOUNT_MAX
from core.domain.settings import BillingSettings
from core.errors import RequestRefused
from core.storage.accounts import LockedAccount, set_balances
from core.storage.balance_alerts import BalanceAlert, write_alerts
from core.storage.movements import Movement, insert_movements


class Rules(Protocol):
    """What of a mandate's settings, in whatever form, decides which lines a balance is beyond."""

    @property
    def billing_model(self) -> BillingModel:
        """Who pays."""

    @property
    def warning_threshold_percent(self) -> Decimal:
        """How far from its limit a postpaid pool warns."""


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
        RequestRefused: as `balance_after`.
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


def balance_after(account_id: int | None, balance: Decimal, delta: Decimal) -> Decimal:
    """The balance (CHF) of the account (None: a new one) once it has moved by `delta`.

    A movement is at most 10^10 CHF, and takes no balance further than that from zero. Usage may, since it has happened; what brings
    such a balance back is let through.

    Raises:
        RequestRefused: it would be more than that; names the account.
    """
    after = balance + delta
    if abs(delta) > AMOUNT_MAX or (abs(after) > AMOUNT_MAX and abs(after) > abs(balance)):
        account = "a new account" if account_id is None else f"account {account_id}"
        raise RequestRefused(
            f"amount: would take {account} from {balance} to {after} CHF, beyond what the books can hold by a movement of {delta} CHF"
        )
    return after


def alerts_between(before: LockedAccount, after: LockedAccount, settings: BillingSettings, old: Rules | None = None) -> list[BalanceAlert]:
    """One alert for each line that the account crossed from `before` to `after`; none for an account that doesn't pay by now.

    Where the rules changed as well, `old` are those of before; who didn't pay under them was beyond no line.
    """
    if not pays(settings.billing_model, before):
        return []
    return [
        BalanceAlert(before, after.balance, crossing, settings) for crossing in crossings(_beyond(old or settings, before), _beyond(settings, after))
    ]


def _beyond(rules: Rules, account: LockedAccount) -> dict[AlertKind, Decimal]:
    """The lines that the account is beyond under these rules, none if it doesn't pay."""
    if not pays(rules.billing_model, account):
        return {}
    return alerts_at(rules.billing_model, account.balance, account.warning_threshold, account.credit_limit, rules.warning_threshold_percent)


def pays(model: BillingModel, account: LockedAccount) -> bool:
    """Whether usage is paid from this account under the model."""
    return model is not BillingModel.UNLIMITED and model.pool_pays == account.is_pool


def _refills(movement: Movement) -> bool:
    return movement.transaction_type is TransactionType.CREDIT or (movement.reference_type is ReferenceType.SWITCH and movement.amount > 0)


def _after(account: LockedAccount, delta: Decimal, settings: BillingSettings | None) -> LockedAccount:
    balance = balance_after(account.id, account.balance, delta)
    if settings is None:
        return account._replace(balance=balance)
    return account._replace(balance=balance, warning_threshold=warning_threshold(settings.warning_threshold_percent, balance))
