"""Repairing a balance that is not the sum of the movements on it: it follows the ledger, or the ledger is adjusted to it."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.request import Reason, Request, RowId
from core.database.database import allow_time, transaction_time
from core.errors import RequestRefused
from core.ledger.crossed import alerts_since
from core.ledger.entry import Entry
from core.ledger.hold import locked_accounts, present_settings
from core.ledger.kinds import ADJUSTMENT
from core.ledger.sql.accounts import set_balances
from core.ledger.sql.alerts import last_alerts, write_alerts
from core.ledger.sql.entries import insert_entries
from core.money import AMOUNT_MAX
from core.movements.movement import under_key
from core.settings.model import BillingSettings
from core.verifying.sql.repairs import ledger_balance


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


def _held_for_long(connection: Connection, mandate_id: str) -> BillingSettings:
    allow_time(connection)
    return present_settings(connection, mandate_id)


@under_key(hold=_held_for_long)
def repair_balance(connection: Connection, settings: BillingSettings, asked: BalanceRepair) -> BalanceRepaired:
    """Brings the balance to the ledger's sum and writes an alert for each line that is thereby crossed and not yet told of.

    The ledger gets no entry. By an adjustment it is the other way round: the ledger gets an ADJUSTMENT of the difference, and the
    balance stays. The warning threshold stays in either case. Usage that this account pays waits meanwhile: the ledger is read
    while the balance can't move. A replay returns the first result.

    Raises:
        NotFound: the mandate has no such account.
        RequestRefused: the difference is more than one adjustment can be.
        BadData: the ledger's sum is more than a balance can hold.
    """
    before = locked_accounts(connection, asked.mandate_id, {asked.account_id})[asked.account_id]
    ledger = ledger_balance(connection, before)
    after = before if asked.by_adjustment else before._replace(balance=ledger)
    time = transaction_time(connection)
    done = BalanceRepaired(asked.mandate_id, before.id, before.balance, after.balance, asked.by, asked.reason, time)
    lacking = after.balance - ledger
    if asked.by_adjustment and lacking == 0:  # by now nothing is wrong
        return done
    if lacking:
        done = replace(done, transaction_id=_adjusted(connection, asked, lacking, settings), adjustment=lacking)
    else:
        set_balances(connection, [after])
    told = last_alerts(connection, before.id)  # what made the balance wrong may have written none
    write_alerts(connection, alerts_since(told, before, after, settings), None)
    return done


def _adjusted(connection: Connection, asked: BalanceRepair, lacking: Decimal, settings: BillingSettings) -> int:
    """Writes what the ledger lacks. It moves no balance, so it isn't posted: the balance has it already."""
    if abs(lacking) > AMOUNT_MAX:
        lacks = f"the ledger of account {asked.account_id} lacks {lacking} CHF, more than one adjustment can be"
        raise RequestRefused(lacks, field="by_adjustment")
    entry = Entry(settings, ADJUSTMENT, asked.account_id, asked.account_id, lacking, asked.reason, asked.by, asked.key)
    (transaction_id,), _ = insert_entries(connection, [entry], None)
    return transaction_id
