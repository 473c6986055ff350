"""A producer's journal beside the books: what became of each event that it says it has sent."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from itertools import islice

import msgspec
from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.billing import DeadLetterStatus
from core.database.database import Database
from core.events.model import UsageEvent
from core.events.parsing import RawEvent, parse_event
from core.events.payload import PAYLOAD_HASHES
from core.ledger.sql.event_keys import EventKey, StoredHash, find_keys
from core.ledger.sql.transactions import recorded_events
from core.recording.conflicts import differing_fields
from core.recording.delivery import Delivery, read_events
from core.recording.sources import name_by_source
from core.recording.sql.parked_events import ParkedEvent, find_parked
from core.rejection import Reason
from core.reports.sql.compare import Letter, SeenEvents, letters_by_bytes, letters_by_key

LINES_MAX = 1_000  # looked up at once
_ORIGIN = "journal"


class Standing(StrEnum):
    """What a line of a journal is to the books."""

    RECORDED = "recorded"
    DUPLICATE = "duplicate"  # its event stands earlier in the file
    CONFLICT = "conflict"  # the books have another event under its id
    PARKED = "parked"
    REJECTED = "rejected"
    MISSING = "missing"  # nothing of it came
    UNREADABLE = "unreadable"  # it is no event, and nothing of it came


@dataclass(frozen=True, slots=True)
class ComparedLine:
    """One line, and what the books say of it.

    `reason` is that of its dead letter, or what it is parked for; `difference` has of a conflict the fields that differ, each as the books and
    as the line have it. `body` is the line.
    """

    number: int
    standing: Standing
    mandate_id: str | None = None
    event_id: str | None = None
    reason: str | None = None
    detail: str | None = None
    dead_letter_id: int | None = None
    difference: Mapping[str, list[object]] = field(default_factory=dict)
    body: bytes = b""


def compare_events(database: Database, actor: Actor, lines: Iterable[tuple[int, bytes]]) -> Iterator[ComparedLine]:
    """Of each line (its number and its bytes, one event's JSON as it was sent) what became of it, in order; nothing is written.

    Looked up a thousand at a time, each thousand at one moment; memory does not grow with the file. An event is compared as recording would,
    by the fields that the version of its first payload bills. Lines that are dead letters as a whole message are not found by their events.

    Raises:
        Forbidden: the actor isn't root.
        StorageUnavailable: the books can't be asked now; what was told so far is true.
    """
    require_root(actor, "compare events with the books")
    return _all_compared(database, lines)


def _all_compared(database: Database, lines: Iterable[tuple[int, bytes]]) -> Iterator[ComparedLine]:
    rest, seen = iter(lines), SeenEvents()
    try:
        while part := list(islice(rest, LINES_MAX)):
            yield from _compared(database, part, seen)
    finally:
        seen.close()


def _compared(database: Database, lines: list[tuple[int, bytes]], seen: SeenEvents) -> list[ComparedLine]:
    deliveries = read_events(RawEvent(body, _ORIGIN) for _, body in lines)
    with database.snapshot() as connection:
        name_by_source(connection, deliveries)
        readable = [delivery for delivery in deliveries if delivery.event is not None]
        repeated = {id(d) for d, before in zip(readable, seen.add([d.payload_hash for d in readable]), strict=True) if before} if readable else set()
        books = _Books(connection, deliveries)
        return [
            _line(number, delivery, Standing.DUPLICATE) if id(delivery) in repeated else books.told_of(number, delivery)
            for (number, _), delivery in zip(lines, deliveries, strict=True)
        ]


class _Books:
    """What the books have of some deliveries, all of one moment."""

    def __init__(self, connection: Connection, deliveries: list[Delivery]) -> None:
        keys = list({delivery.key for delivery in deliveries if delivery.event is not None})
        self._stored = find_keys(connection, keys)
        self._parked: dict[EventKey, ParkedEvent] = find_parked(connection, [key for key in keys if key not in self._stored])
        unknown = [delivery for delivery in deliveries if not self._is_copy(delivery)]
        self._letters = letters_by_bytes(connection, {sha256(delivery.raw.body).digest() for delivery in unknown})
        without = [key for key in map(_key_of, unknown) if key is not None]
        self._letters_of = letters_by_key(connection, without)
        others = {delivery.key for delivery in unknown if delivery.key in self._stored}
        self._first = recorded_events(connection, [self._stored[key] for key in others]) if others else {}
        self._first |= {key: _parked_event(parked) for key, parked in self._parked.items()}

    def _hash_under(self, key: EventKey) -> StoredHash | None:
        return self._stored.get(key) or (self._parked[key].stored_hash if key in self._parked else None)

    def _is_copy(self, delivery: Delivery) -> bool:
        stored = None if delivery.event is None else self._hash_under(delivery.key)
        return stored is not None and delivery.matches(stored)

    def told_of(self, number: int, delivery: Delivery) -> ComparedLine:
        """The line of a delivery."""
        letter = self._letters.get(sha256(delivery.raw.body).digest())
        if letter is not None and letter.status == DeadLetterStatus.ACCEPTED:
            return _line(number, delivery, Standing.RECORDED, letter)
        stored = None if delivery.event is None else self._hash_under(delivery.key)
        if delivery.event is None or stored is None:
            return self._absent(number, delivery, letter)
        first = self._first.get(delivery.key)
        differing = {} if first is None else differing_fields(first, delivery.event, stored)
        if delivery.matches(stored) or (stored.hash_version not in PAYLOAD_HASHES and first is not None and not differing):
            parked = self._parked.get(delivery.key)
            return _line(number, delivery, Standing.RECORDED) if parked is None else _line(number, delivery, Standing.PARKED, reason=parked.reason)
        if letter is not None and letter.status == DeadLetterStatus.CORRECTED:
            return _line(number, delivery, Standing.REJECTED, letter)
        return _line(number, delivery, Standing.CONFLICT, letter, difference=differing)

    def _absent(self, number: int, delivery: Delivery, letter: Letter | None) -> ComparedLine:
        key = _key_of(delivery)
        found = letter or (None if key is None else self._letters_of.get(key))
        if found is not None:
            return _line(number, delivery, Standing.REJECTED, found)
        if delivery.event is not None:
            return _line(number, delivery, Standing.MISSING)
        assert delivery.rejection is not None
        return _line(number, delivery, Standing.UNREADABLE, reason=delivery.rejection.reason.value, detail=delivery.rejection.detail)


def _key_of(delivery: Delivery) -> EventKey | None:
    """What a delivery is known by, also of one that is no event by the contract."""
    if delivery.event is not None:
        return delivery.key
    rejection = delivery.rejection
    if rejection is None or rejection.mandate_id is None or rejection.event_id is None or rejection.reason is Reason.DUPLICATE_KEY:
        return None
    return rejection.mandate_id, rejection.event_id


def _parked_event(parked: ParkedEvent) -> UsageEvent:
    return msgspec.structs.replace(parse_event(parked.raw), event_id=parked.key[1])


def _line(
    number: int,
    delivery: Delivery,
    standing: Standing,
    letter: Letter | None = None,
    *,
    reason: str | None = None,
    detail: str | None = None,
    difference: Mapping[str, list[object]] | None = None,
) -> ComparedLine:
    mandate_id, event_id = _key_of(delivery) or (None, None)
    if letter is not None:
        reason, detail = letter.reason, letter.detail if letter.status == DeadLetterStatus.OPEN else f"{letter.status}: {letter.detail}"
    letter_id = None if letter is None else letter.id
    return ComparedLine(number, standing, mandate_id, event_id, reason, detail, letter_id, difference or {}, delivery.raw.body)
