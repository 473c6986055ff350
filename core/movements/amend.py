"""Amending recorded events: what stands is taken back, what is right is booked, and the books keep both."""

from collections.abc import Sequence

from sqlalchemy import Connection

from core.caps.counters import Moved, caps_of, move_counters
from core.caps.model import Spending
from core.errors import RequestRefused
from core.events.model import UsageEvent
from core.ledger.entry import Entry
from core.ledger.hold import locked_accounts
from core.ledger.kinds import AMENDED, REVERSAL
from core.ledger.opening import KnownAccounts
from core.ledger.post import post
from core.ledger.sql.accounts import LockedAccount
from core.ledger.sql.batches import Batch, write_batch
from core.ledger.sql.usage_shapes import keep_usage
from core.movements.sql.amendments import Amendment, EventEntry, Source, Written, days_of, link_amendments, refunded
from core.printable import shown
from core.settings.model import BillingSettings

KIND = "amendment"  # of the batch


def amend(
    connection: Connection, batch: Batch, amendments: Sequence[Amendment], source: Source, settings: BillingSettings, worker: str
) -> tuple[list[Written], dict[int, LockedAccount]]:
    """Writes amendments of one mandate's events, moves each balance and each counter of a cap once by their sum, and lets the rollup see them.

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
    keep_usage(connection, [a.event.raw_usage for a in amendments])  # what is new of it comes before the accounts, in the order of all
    ids = {i for a in amendments for i in (a.account_id, a.balance_account_id, a.entry.account_id, a.entry.balance_account_id) if i is not None}
    accounts = locked_accounts(connection, mandate_id, ids)
    if touched := refunded(connection, mandate_id, [a.entry.id for a in amendments]):  # with the accounts locked nobody can refund any more
        raise next(refund_in_the_way(a.entry) for a in amendments if a.entry.id in touched)
    entries = [_reversal(a, source, settings) for a in amendments] + [_debit(a, source, settings) for a in amendments]
    posted = post(connection, entries, accounts, batch.id)
    pairs = zip(posted.transaction_ids[: len(amendments)], posted.transaction_ids[len(amendments) :], strict=True)
    written = [Written(reversal_id, debit_id, posted.recorded_at) for reversal_id, debit_id in pairs]
    if settings.caps_token is not None:
        _count_in_caps(connection, batch, amendments, written, settings)
    link_amendments(connection, amendments, written, source)
    write_batch(connection, batch, worker=worker, kind=KIND, transaction_ids=posted.transaction_ids)
    return written, posted.accounts


def _count_in_caps(
    connection: Connection, batch: Batch, amendments: Sequence[Amendment], written: Sequence[Written], settings: BillingSettings
) -> None:
    """What stood is taken out of the windows of its local day, what is right counts in those of its own."""
    caps = caps_of(connection, [settings], KnownAccounts())
    days = days_of(connection, written)
    moved = []
    for amendment, one in zip(amendments, written, strict=True):
        old = amendment.entry
        moved.append(Moved(_spending(old.event), old.local_date, spent=-old.priced.amount))
        moved.append(Moved(_spending(amendment.event), days[one.debit_id], spent=amendment.priced.amount))
    move_counters(connection, caps, moved, batch.id)


def _spending(event: UsageEvent) -> Spending:
    return Spending(event.mandate_id, event.user_id, event.provider, event.model, event.feature_code)


def _reversal(amendment: Amendment, source: Source, settings: BillingSettings) -> Entry:
    old = amendment.entry
    says = f"Amendment: takes transaction {old.id} back"
    return Entry(settings, REVERSAL, old.account_id, old.balance_account_id, old.priced.amount, says, source.by, source.key, old.id)


def _debit(amendment: Amendment, source: Source, settings: BillingSettings) -> Entry:
    old, event, account_id, payer, priced = amendment
    day = old.local_date if event.occurred_at == old.event.occurred_at else None  # whatever zone the mandate has by now
    says = AMENDED.description if event.description is None else event.description
    return Entry(settings, AMENDED, account_id, payer, priced.amount, says, event.user_id, source.key, event=event, priced=priced, local_date=day)


def payer_of(entry: EventEntry, account_id: int) -> int | None:
    """Who pays for an amendment about `account_id`: as it was recorded, the user, the pool, or nobody."""
    return account_id if entry.balance_account_id == entry.account_id else entry.balance_account_id


def refund_in_the_way(entry: EventEntry) -> RequestRefused:
    """Why an entry can't be amended any more."""
    event = entry.event
    return RequestRefused(
        f"event {shown(event.event_id)} of mandate {shown(event.mandate_id)} has refunds (of transaction {entry.id}) and can't be"
        " amended: settle the difference with a refund or an adjustment",
        field="event_id",
        value=event.event_id,
    )
