"""Amending recorded events: what stands is taken back, what is right is booked, and the books keep both."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy import Connection

from core.domain.money import ZERO
from core.domain.rejection import shown
from core.domain.settings import BillingSettings
from core.errors import RequestRefused
from core.operations.moving.accounts import locked_accounts
from core.operations.moving.move import alerts_between
from core.storage.accounts import LockedAccount, set_balances
from core.storage.amendments import Amendment, EventEntry, Source, Written, refunded, write_amendments
from core.storage.balance_alerts import write_alerts
from core.storage.batches import Batch, write_batch

KIND = "amendment"  # of the batch


def amend(
    connection: Connection, batch: Batch, amendments: Sequence[Amendment], source: Source, settings: BillingSettings, worker: str
) -> tuple[list[Written], dict[int, LockedAccount]]:
    """Writes amendments of one mandate's events, moves each balance once by their sum, and lets the rollup see them.

    The reversal gives back on the very account that paid. A balance may go as far as usage itself may take it. Returns what was
    written, and the accounts as they are now.

    Args:
        connection: of the transaction that holds the mandate's amendments (`hold_amendments`), and read the entries since.
        batch: under which they are written.
        amendments: at least one, of different events.
        source: the operation, its key and who asked.
        settings: the mandate's present ones.
        worker: the name that the batch's row carries.

    Raises:
        RequestRefused: something of an entry was refunded.
    """
    mandate_id = settings.mandate_id
    ids = {i for a in amendments for i in (a.account_id, a.balance_account_id, a.entry.account_id, a.entry.balance_account_id) if i is not None}
    accounts = locked_accounts(connection, mandate_id, ids)
    if touched := refunded(connection, mandate_id, [a.entry.id for a in amendments]):  # with the accounts locked nobody can refund any more
        raise RequestRefused(next(refund_in_the_way(a.entry) for a in amendments if a.entry.id in touched))
    after = _after(amendments, accounts)
    written = write_amendments(connection, amendments, source, settings, batch.id)
    set_balances(connection, after.values())
    write_alerts(connection, [alert for i, account in after.items() for alert in alerts_between(accounts[i], account, settings)], batch.id)
    write_batch(connection, batch, worker=worker, kind=KIND, transaction_ids=[i for w in written for i in (w.reversal_id, w.debit_id)])
    return written, {**accounts, **after}


def _after(amendments: Sequence[Amendment], accounts: Mapping[int, LockedAccount]) -> dict[int, LockedAccount]:
    """The accounts whose balances move, as they are afterwards."""
    deltas: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for a in amendments:
        if a.entry.balance_account_id is not None:
            deltas[a.entry.balance_account_id] += a.entry.event.price_chf
        if a.balance_account_id is not None:
            deltas[a.balance_account_id] -= a.event.price_chf
    return {i: accounts[i]._replace(balance=accounts[i].balance + delta) for i, delta in deltas.items()}


def payer_of(entry: EventEntry, account_id: int) -> int | None:
    """Who pays for an amendment about `account_id`: as it was recorded, the user himself, the pool, or nobody."""
    return account_id if entry.balance_account_id == entry.account_id else entry.balance_account_id


def refund_in_the_way(entry: EventEntry) -> str:
    """Why an entry can't be amended any more."""
    event = entry.event
    return (
        f"event_id: event {shown(event.event_id)} of mandate {shown(event.mandate_id)} has refunds (of transaction {entry.id}) and can't be"
        " amended: settle the difference with a refund or an adjustment"
    )
