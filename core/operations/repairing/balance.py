"""Repairing a balance that is not the sum of the movements on it: it follows the ledger, or the ledger is adjusted to it."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.domain.billing import ReferenceType, TransactionType, alerts_at, crossings
from core.domain.request import AMOUNT_MAX, Reason, Request, RowId
from core.domain.settings import BillingSettings
from core.errors import RequestRefused
from core.operations.moving.accounts import locked_accounts, present_settings
from core.operations.moving.move import pays
from core.operations.moving.once import once
from core.storage.accounts import LockedAccount, set_balances
from core.storage.balance_alerts import BalanceAlert, last_alerts, write_alerts
from core.storage.database import Database, allow_time, transaction_time
from core.storage.movements import Movement, insert_movements
from core.storage.operation_keys import Operation
from core.storage.repairs import ledger_balance

REPAIR_BALANCE = "repair_balance"


class BalanceRepair(Request):
    """The account whose balance and ledger are to be brought together, and why.

    The balance follows the ledger, unless `by_adjustment` says that the balance is right and the ledger lacks something.
    """

    account_id: RowId
    reason: Reason
    by_adjustment: bool = False


@dataclass(frozen=True, slots=True)
class BalanceRepaired:
    """A balance before and after (CHF), who repaired it, why and when: with its key, this tells of it.

    By an adjustment the balance stays, `transaction_id` is the entry that was made, and `adjustment` its amount (CHF, signed).
    """

    mandate_id: str
    account_id: int
    old_balance: Decimal
    balance: Decimal
    by: str
    reason: str
    recorded_at: datetime
    transaction_id: int | None = None
    adjustment: Decimal | None = None
    repeated: bool = False


def repair_balance(database: Database, asked: BalanceRepair) -> BalanceRepaired:
    """Brings the balance to the ledger's sum and writes an alert for each line that is thereby crossed and not yet told of.

    The ledger gets no entry. By an adjustment it is the other way round: the ledger gets an ADJUSTMENT of the difference, and the
    balance stays. The warning threshold stays in either case. Usage that this account pays waits meanwhile: the ledger is read
    while the balance can't move. A replay returns the first result.

    Raises:
        NotFound: the mandate has no settings, or no such account.
        Conflict: the key was used for another repair.
        RequestRefused: the difference is more than one adjustment can be.
        BadData: the ledger's sum is more than a balance can hold.
        StorageUnavailable: it is not known whether it was done; ask again with the same key.
        Misconfigured: only an operator can help.
    """
    with database.transaction() as connection:
        allow_time(connection)
        settings = present_settings(connection, asked.mandate_id)

        def repaired() -> BalanceRepaired:
            before = locked_accounts(connection, asked.mandate_id, {asked.account_id})[asked.account_id]
            ledger = ledger_balance(connection, before)
            if asked.by_adjustment:
                return _adjusted(connection, asked, before, before.balance - ledger, settings)
            after = before._replace(balance=ledger)
            set_balances(connection, [after])
            write_alerts(connection, _untold(connection, before, after, settings), None)
            time = transaction_time(connection)
            return BalanceRepaired(asked.mandate_id, before.id, before.balance, after.balance, asked.by, asked.reason, time)

        return once(connection, Operation(asked.mandate_id, REPAIR_BALANCE, asked.key, asked.content()), BalanceRepaired, repaired)


def _adjusted(
    connection: Connection, asked: BalanceRepair, account: LockedAccount, difference: Decimal, settings: BillingSettings
) -> BalanceRepaired:
    """Writes what the ledger lacks; of a ledger that lacks nothing by now, nothing."""
    done = BalanceRepaired(asked.mandate_id, account.id, account.balance, account.balance, asked.by, asked.reason, transaction_time(connection))
    if difference == 0:
        return done
    if abs(difference) > AMOUNT_MAX:
        raise RequestRefused(f"by_adjustment: the ledger of account {account.id} lacks {difference} CHF, more than one adjustment can be")
    kind, reference = TransactionType.ADJUSTMENT, ReferenceType.ADJUSTMENT
    movement = Movement(account.id, account.id, kind, difference, reference, asked.reason, asked.by, asked.key)
    (transaction_id,), _ = insert_movements(connection, [movement], settings, None)
    write_alerts(connection, _untold(connection, account, account, settings), None)
    return replace(done, transaction_id=transaction_id, adjustment=difference)


def _untold(connection: Connection, before: LockedAccount, after: LockedAccount, settings: BillingSettings) -> list[BalanceAlert]:
    """What the account's last alerts don't say of where it is now: what made the balance wrong may have written none."""
    if not pays(settings.billing_model, after):
        return []
    beyond = alerts_at(settings.billing_model, after.balance, after.warning_threshold, after.credit_limit, settings.warning_threshold_percent)
    return [BalanceAlert(before, after.balance, crossing, settings) for crossing in crossings(last_alerts(connection, before.id), beyond)]
