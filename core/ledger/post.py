"""The one writer of the ledger beside recording: entries, balances, warning thresholds and alerts together.

Usage is the exception: recording takes it off by one relative UPDATE that locks and moves at once (`core.recording.balances`).
A test holds both to the same rules. And an account that is opened begins with its grant (`core.ledger.sql.openings`).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.billing import warning_threshold
from core.database.database import transaction_time
from core.errors import RequestRefused
from core.ledger.crossed import alerts_between
from core.ledger.entry import Entry
from core.ledger.kinds import GRANT
from core.ledger.sql.accounts import LockedAccount, set_balances
from core.ledger.sql.alerts import BalanceAlert, write_alerts
from core.ledger.sql.entries import insert_entries
from core.money import AMOUNT_MAX, ZERO

Told = Callable[[LockedAccount, LockedAccount], list[BalanceAlert]]  # what to tell of an account, by how it was and how it is


@dataclass(frozen=True, slots=True)
class Posted:
    """What entries came to: their transaction ids in order, and the accounts as they are now."""

    transaction_ids: list[int]
    recorded_at: datetime
    accounts: dict[int, LockedAccount]


def post(
    connection: Connection, entries: Sequence[Entry], held: Mapping[int, LockedAccount], batch_id: int | None = None, *, told: Told | None = None
) -> Posted:
    """Writes the entries, moves each balance once by their sum, and writes an alert for each line that one crossed.

    What refills a balance (`EntryKind.refills`) sets its warning threshold anew. An entry without balance account moves nothing.

    Args:
        connection: of the transaction in which `held` were locked, and no settings of these mandates can change.
        entries: of any mandates; each balance account is among `held`.
        held: the accounts by id, as they are before.
        batch_id: of the batch that the rollup has to look at, for entries that change statistics.
        told: decides for each of `held` which alerts are written, where it isn't by the lines crossed.

    Raises:
        RequestRefused: as `balance_after`.
    """
    after = {**held, **_moved(entries, held)}
    written = insert_entries(connection, entries, batch_id) if entries else ([], transaction_time(connection))
    granted = {entry.account_id for entry in entries if entry.kind is GRANT}
    set_balances(connection, [account for i, account in after.items() if account is not held[i]], granted)
    settings = {entry.settings.mandate_id: entry.settings for entry in entries}
    tell = told or (lambda before, now: alerts_between(before, now, settings[before.mandate_id]))
    write_alerts(connection, [alert for i, before in held.items() for alert in tell(before, after[i])], batch_id)
    return Posted(*written, after)


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
            f"would take {account} from {balance} to {after} CHF, beyond what the books can hold by a movement of {delta} CHF",
            field="amount",
            value=delta,
        )
    return after


def _moved(entries: Sequence[Entry], held: Mapping[int, LockedAccount]) -> dict[int, LockedAccount]:
    """The accounts whose balances move, as they are afterwards."""
    on_balance: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.balance_account_id is not None:
            on_balance[entry.balance_account_id].append(entry)
    return {i: moved(held[i], own) for i, own in on_balance.items()}


def moved(account: LockedAccount, entries: Sequence[Entry]) -> LockedAccount:
    """The account as it is once these entries have moved its balance: what refills it sets its warning threshold anew.

    Raises:
        RequestRefused: as `balance_after`.
    """
    delta = sum((entry.delta for entry in entries), ZERO)
    has_room = any(entry.kind.has_room for entry in entries)
    balance = balance_after(account.id, account.balance, delta) if has_room else account.balance + delta
    refill = next((entry for entry in entries if entry.kind.refills and entry.delta > 0), None)
    if refill is None:
        return account._replace(balance=balance)
    return account._replace(balance=balance, warning_threshold=warning_threshold(refill.settings.warning_threshold_percent, balance))
