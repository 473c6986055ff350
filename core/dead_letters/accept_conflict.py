"""Accepting a conflict: the second payload of an event was right, so the event is amended to it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.once import once
from core.asking.rights import Actor, require_root
from core.asking.sql import Operation
from core.billing import DeadLetterStatus
from core.config import Configuration
from core.database.database import Database
from core.dead_letters.sql.status import KeptLetter, Resolution, find_letter, hold_decisions, resolve_letters
from core.errors import NotFound, RequestRefused
from core.events.model import UsageEvent
from core.events.parsing import RawEvent, parse_event
from core.ledger.hold import present_settings
from core.ledger.open_accounts import open_accounts_of
from core.ledger.opening import KnownAccounts
from core.ledger.sql.batches import begin_batch
from core.movements.amend import amend, payer_of
from core.movements.sql.amendments import Amendment, Source, hold_amendments, present_entries
from core.prices.billed import billed_alone
from core.prices.load import prices_of
from core.printable import shown
from core.recording.sources import as_known
from core.recording.work import Work
from core.rejection import Reason, Rejection
from core.settings.model import BillingSettings

ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class AcceptedConflict:
    """What stood for the event and what stands now; amounts in CHF. Without balance account nobody pays."""

    dead_letter_id: int
    mandate_id: str
    event_id: str
    reversed_id: int
    reversal_id: int
    debit_id: int
    price_before: Decimal
    price_after: Decimal
    account_id: int
    balance_account_id: int | None
    balance: Decimal | None
    recorded_at: datetime
    repeated: bool = False


def accept_conflict(database: Database, actor: Actor, dead_letter_id: int, *, by: str, config: Configuration, worker: str) -> AcceptedConflict:
    """Amends the event to what the dead letter says: its present entry is reversed, a new debit takes its place.

    The event keeps its key and counts once; the letter becomes ACCEPTED in the same transaction. A replay returns the
    first result. Of several conflicts of one event the one accepted last stands.

    Raises:
        NotFound: there is no such dead letter, or its mandate has no settings.
        RequestRefused: it is no conflict, was decided otherwise, its event isn't recorded, or has refunds.
        StorageUnavailable: it is not known whether it was done; ask again.
    """
    require_root(actor, "accept a conflict")
    with database.transaction() as connection:
        hold_decisions(connection)
        letter = find_letter(connection, dead_letter_id)
        if letter is None:
            raise NotFound(f"there is no dead letter {dead_letter_id}")
        event = _event_of(connection, letter)
        settings = present_settings(connection, event.mandate_id)
        source = Source(ACCEPT, f"dead_letter:{letter.id}", by)

        def accept() -> AcceptedConflict:
            if letter.status is not DeadLetterStatus.OPEN:
                raise RequestRefused(f"dead letter {letter.id} is {letter.status} and can't be accepted any more")
            return _accept(connection, letter, event, source, settings, config, worker)

        operation = Operation(event.mandate_id, source.operation, source.key, {"event_id": event.event_id})
        return once(connection, operation, AcceptedConflict, accept)


def _event_of(connection: Connection, letter: KeptLetter) -> UsageEvent:
    if letter.reason != Reason.CONFLICT:
        raise RequestRefused(f"dead letter {letter.id} is no conflict but {letter.reason}: only a conflict can be accepted")
    try:
        event = parse_event(RawEvent(letter.body, letter.origin, letter.typed_json))
    except Rejection as rejection:
        raise RequestRefused(f"dead letter {letter.id} is no event: {rejection}") from None
    return as_known(connection, event)


def _accept(
    connection: Connection, letter: KeptLetter, event: UsageEvent, source: Source, settings: BillingSettings, config: Configuration, worker: str
) -> AcceptedConflict:
    hold_amendments(connection, event.mandate_id)
    entry = present_entries(connection, event.mandate_id, [event.event_id]).get(event.event_id)
    if entry is None:
        raise RequestRefused(f"event {shown(event.event_id)} of mandate {shown(event.mandate_id)} is not recorded, so that nothing can be amended")
    batch = begin_batch(connection, by_keys_alone=True)
    prices = prices_of(connection, batch.prices_token)
    opening = Work(connection, config, batch, KnownAccounts(), prices)
    holders = open_accounts_of(opening, {(event.mandate_id, event.user_id)}, {event.mandate_id: settings})
    account_id = holders.accounts[event.mandate_id, event.user_id]
    amendment = Amendment(entry, event, account_id, payer_of(entry, account_id), billed_alone(connection, event, prices))
    (written,), accounts = amend(connection, batch, [amendment], source, settings, worker)
    resolve_letters(connection, [Resolution(letter.id, DeadLetterStatus.ACCEPTED, f"amended by transaction {written.debit_id}")], source.by)
    payer = amendment.balance_account_id
    return AcceptedConflict(
        dead_letter_id=letter.id,
        mandate_id=event.mandate_id,
        event_id=event.event_id,
        reversed_id=entry.id,
        reversal_id=written.reversal_id,
        debit_id=written.debit_id,
        price_before=entry.priced.amount,
        price_after=amendment.priced.amount,
        account_id=account_id,
        balance_account_id=payer,
        balance=None if payer is None else accounts[payer].balance,
        recorded_at=written.recorded_at,
    )
