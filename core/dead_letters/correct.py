"""Correcting a dead letter: the event that it should have been is recorded in its place."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.billing import DeadLetterStatus
from core.config import Configuration
from core.database.database import Database
from core.database.server import server_time
from core.dead_letters.sql.status import KeptLetter, correct_letter, find_correction, find_letter, hold_decisions, lock_letters
from core.errors import BadData, NotFound, RequestRefused
from core.events.outcome import Outcome
from core.events.parsing import RawEvent
from core.ledger.opening import KnownAccounts
from core.ledger.sql.batches import BatchKind
from core.ledger.sql.event_keys import EventKey, find_keys
from core.printable import shown
from core.recording.batch import Settle, settle_batch
from core.recording.delivery import Delivery, judge_times, read_events
from core.recording.settle import settle, settle_isolating
from core.recording.work import Settled, Work

REASON_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True)
class Correction:
    """What the corrected event came to: recorded (by which transaction), duplicate of what was recorded before, or parked."""

    dead_letter_id: int
    mandate_id: str
    event_id: str
    outcome: Outcome
    transaction_id: int | None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Correcting:
    """By whose word a letter is corrected, why, and under which rules its event is recorded."""

    by: str
    reason: str
    config: Configuration
    worker: str
    clock: Callable[[], datetime] | None = None


def correct_dead_letter(database: Database, actor: Actor, dead_letter_id: int, body: bytes, how: Correcting) -> Correction:
    """Records the event in `body` (its JSON) in place of the letter's, which becomes CORRECTED, through the very same recording as intake.

    All in one transaction: both texts, who corrected it, when and why stay with the letter. Its age is judged as of the letter's first
    receipt. The same correction again returns what became of the first one; what the books refuse changes nothing.

    Raises:
        NotFound: there is no such dead letter.
        RequestRefused: it was decided otherwise; the event is refused, or has another event id or mandate than the letter; no reason is given.
        StorageUnavailable: it is not known whether it was done; ask again.
    """
    require_root(actor, "correct a dead letter")
    if not how.reason.strip() or len(how.reason) > REASON_LENGTH_MAX:
        raise RequestRefused(f"must be a text of 1 to {REASON_LENGTH_MAX} characters: it is kept with the letter", field="reason", value=how.reason)
    try:
        return _corrected(settle, database, dead_letter_id, body.strip(), how)
    except BadData:
        return _corrected(settle_isolating, database, dead_letter_id, body.strip(), how)


def _corrected(settle: Settle, database: Database, dead_letter_id: int, body: bytes, how: Correcting) -> Correction:
    with database.transaction() as connection:
        hold_decisions(connection)
        letter = find_letter(connection, dead_letter_id)
        if letter is None:
            raise NotFound(f"there is no dead letter {dead_letter_id}", field="dead_letter_id", value=dead_letter_id)
        if letter.status is not DeadLetterStatus.OPEN:
            return _repeated(connection, letter, body)
        delivery = _judged(letter, body, how, how.clock() if how.clock else server_time(connection))
        given = delivery.key
        outcome = _recorded(connection, settle, letter, delivery, how)
        _require_same(letter, {given, delivery.key})
        correct_letter(connection, letter.id, body, sha256(body).digest(), delivery.key, how.by, how.reason)
        return Correction(letter.id, *delivery.key, outcome, _transaction_of(connection, delivery.key))


def _repeated(connection: Connection, letter: KeptLetter, body: bytes) -> Correction:
    """What became of the same correction before."""
    digest = find_correction(connection, letter.id)
    if digest is None or digest != sha256(body).digest():
        how = "otherwise corrected" if digest else str(letter.status)
        raise RequestRefused(f"dead letter {letter.id} is {how} and can't be corrected any more", field="dead_letter_id", value=letter.id)
    assert letter.mandate_id is not None
    assert letter.event_id is not None
    key = letter.mandate_id, letter.event_id
    transaction_id = _transaction_of(connection, key)
    return Correction(letter.id, *key, Outcome.PARKED if transaction_id is None else Outcome.RECORDED, transaction_id, repeated=True)


def _judged(letter: KeptLetter, body: bytes, how: Correcting, now: datetime) -> Delivery:
    """The corrected event, its time judged as of `now`.

    Raises:
        RequestRefused: it is none by the contract.
    """
    raw = RawEvent(body, letter.origin)
    (delivery,) = read_events([raw])
    judge_times([delivery], now, how.config.lateness_days, received_at=letter.first_seen_at)
    if delivery.rejection is not None:
        raise RequestRefused(f"is no event: {delivery.rejection.reason}: {delivery.rejection.detail}", field="event")
    return delivery


def _recorded(connection: Connection, settle: Settle, letter: KeptLetter, delivery: Delivery, how: Correcting) -> Outcome:
    """Records it.

    Raises:
        RequestRefused: the books refuse it; nothing of it may be committed.
    """

    def settle_and_lock(work: Work, chosen: list[Delivery]) -> Settled:
        settled = settle(work, chosen)
        lock_letters(connection, [letter.id])
        return settled

    settle_batch(
        connection,
        [delivery],
        settle_and_lock,
        config=how.config,
        known_accounts=KnownAccounts(),
        worker=how.worker,
        kind=BatchKind.REPLAY,
        letters=1,
    )
    if delivery.rejection is not None:
        raise RequestRefused(f"the corrected one is refused: {delivery.rejection.reason}: {delivery.rejection.detail}", field="event")
    assert delivery.outcome is not None
    return delivery.outcome


def _require_same(letter: KeptLetter, keys: set[EventKey]) -> None:
    """Returns if the corrected event is the letter's, as far as its ids could be read: as they came, or as the books know it.

    Raises:
        RequestRefused: it is another one.
    """
    for field, value, given in (
        ("mandate_id", letter.mandate_id, {key[0] for key in keys}),
        ("event_id", letter.event_id, {key[1] for key in keys}),
    ):
        if value is not None and value not in given:
            raise RequestRefused(
                f"must stay {shown(value)}, as in dead letter {letter.id}: another event is published, and the letter discarded",
                field=field,
                value=min(given),
            )


def _transaction_of(connection: Connection, key: EventKey) -> int | None:
    stored = find_keys(connection, [key]).get(key)
    return None if stored is None else stored.transaction_id
