"""Damaged messages through a real broker, a real pump and real books, with good ones among them."""

import hashlib
import os
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from time import monotonic
from typing import Any, NamedTuple

import pytest
import redis
from celery import Celery

from core.config import Configuration
from core.database.database import Database
from core.events.envelope import PLAIN_QUEUE, QueueEntry, open_entry
from core.events.message import Message, raw_events
from core.events.outcome import BatchResult
from core.ledger.opening import KnownAccounts
from core.recording.record_usage import record_usage
from tests.conftest import Rows
from tests.delivery.conftest import eventually
from tests.fuzz.agreement import strictly
from tests.fuzz.mutations import damaged_at_random
from tests.fuzz.samples import CLOUD_EVENTS, ENTRIES, EVENTS, PLAIN, TYPED_EVENTS
from tests.fuzz.strict_event import StrictEvent
from tests.fuzz.targets import celery_entry_agrees, plain_entry_agrees
from tests.sample_events import body_of, event
from tests.scene import Breaches
from worker.intake.pump import Pump
from worker.intake.redis_source import RedisSource, connect
from worker.intake.reporter import Reporter

SECONDS = float(os.environ.get("TOLLBOOK_FUZZ_SECONDS", "600")) / 10  # beside the readers alone, which have the time to themselves
_UNBILLED = ("description", "schema_version", "producer_id", "producer_seq")
_OF_VERSION_1 = frozenset(
    (
        *("event_id", "mandate_id", "user_id", "price_chf", "occurred_at", "provider", "model", "feature_code", "feature_instance_id"),
        *("workflow_id", "description", "usage", "schema_version"),
    )
)
_MARGIN = timedelta(hours=1)


class Expected(NamedTuple):
    """What must become of some messages."""

    first: dict[tuple[str, str], StrictEvent]  # of each key the event that came first, recorded or parked
    letters: Counter[bytes]  # by hash: refused and conflicting deliveries


@pytest.fixture
def fuzz(broker_url: str, queue: redis.Redis, database: Database, config: Configuration, acme: None, rows: Rows, breaches: Breaches) -> "Fuzz":
    """Sends damaged messages to a pump, and judges the books."""
    return Fuzz(broker_url, queue, database, config, rows, breaches)


class Fuzz:
    """The pump on its broker and books, and all that was sent so far."""

    def __init__(self, url: str, queue: redis.Redis, database: Database, config: Configuration, rows: Rows, breaches: Breaches) -> None:
        self.url, self.queue, self.database, self.config, self.rows, self.breaches = url, queue, database, config, rows, breaches
        self.expected = Expected({}, Counter())
        self.good: dict[str, Decimal] = {}

    def send(self, name: str, chance: Random, messages: int) -> None:
        """Puts damaged messages and good ones on a queue, and has a pump settle them all."""
        for _ in range(messages):
            entry = self._good(name) if chance.random() < 0.2 else _damaged(name, chance)
            if self._foresee(name, entry):
                self.queue.lpush(name, entry)
        pump = self._pump()
        pump.start()
        eventually(lambda: not any(self.queue.exists(key) for key in ("usage", PLAIN_QUEUE, "tollbook.claims")), "everything is settled")
        pump.stop()
        pump.join(20)

    def judge(self) -> None:
        """The books hold the good ones, and of the damaged ones what the strict reader allows; every other one is one dead letter."""
        debits = self.rows("SELECT mandate_id, event_id, amount FROM transactions WHERE transaction_type = 'DEBIT'")
        parked = self.rows("SELECT mandate_id, event_id FROM parked_events")
        keys = Counter((row["mandate_id"], row["event_id"]) for row in [*debits, *parked])
        assert set(keys.values()) <= {1}
        assert keys.keys() == self.expected.first.keys()
        for row in debits:
            assert Fraction(row["amount"]) == self.expected.first[row["mandate_id"], row["event_id"]].fields["price_chf"]
        recorded = {row["event_id"]: row["amount"] for row in debits}
        assert {event_id: recorded.get(event_id) for event_id in self.good} == self.good
        letters = self.rows("SELECT body_sha256, body, attempts FROM dead_letters")
        assert all(hashlib.sha256(row["body"]).digest() == bytes(row["body_sha256"]) for row in letters)
        assert {bytes(row["body_sha256"]): row["attempts"] for row in letters} == self.expected.letters
        assert self.breaches() == {}

    def _good(self, name: str) -> bytes:
        fields = event(price_chf=f"0.{len(self.good) + 1:06}", user_id="bob")
        self.good[str(fields["event_id"])] = Decimal(str(fields["price_chf"]))
        return body_of(fields) if name == PLAIN_QUEUE else _entry_with(body_of(fields))

    def _foresee(self, name: str, entry: bytes) -> bool:
        """Notes what must become of a message; false where nobody can say, since an event is just about too old or too new."""
        plain = name == PLAIN_QUEUE
        (plain_entry_agrees if plain else celery_entry_agrees)(entry)
        judged = []
        for raw in raw_events(open_entry(QueueEntry(name, entry))):
            found = None if raw.defect else strictly(raw.body, typed_json=raw.typed_json)
            age = None if found is None else datetime.now(UTC) - found.fields["occurred_at"]
            if age is not None and any(
                abs(age - limit) < _MARGIN / 2 for limit in (timedelta(days=self.config.lateness_days), -timedelta(minutes=5))
            ):
                return False
            judged.append((raw.body, found, age))
        for body, found, age in judged:
            self._note(body, found, age)
        return True

    def _note(self, body: bytes, found: StrictEvent | None, age: timedelta | None) -> None:
        letter = hashlib.sha256(body).digest()
        if found is None or age is None:
            self.expected.letters[letter] += 1
            return
        key = found.fields["mandate_id"], found.fields["event_id"]
        known = self.expected.first.get(key)
        is_timely = -timedelta(minutes=5) <= age <= timedelta(days=self.config.lateness_days)
        can_be_billed = "price_chf" in found.fields or key[0] != "acme"  # which is billed the prices that are given; others are parked
        if known is None and is_timely and can_be_billed:
            self.expected.first[key] = found
        elif known is None or not _is_copy(found, known):
            self.expected.letters[letter] += 1

    def _pump(self) -> Pump:
        def handle(messages: Sequence[Message], worker: str) -> BatchResult:
            events = [raw for message in messages for raw in raw_events(message)]
            return record_usage(self.database, events, config=self.config, known_accounts=KnownAccounts(), worker=worker)

        source = RedisSource(connect(self.url), ["usage", PLAIN_QUEUE], worker="w@test", visibility_seconds=60.0)
        reporter = Reporter(Celery("test", broker=self.url, set_as_current=False), "w@test", lambda: False)
        return Pump("test", source, handle, reporter, self.config, worker="w@test", ask_books=lambda: None, on_fatal=pytest.fail)


def _entry_with(body: bytes) -> bytes:
    return ENTRIES[1].replace(_in_text(EVENTS[1]), _in_text(body))


def _in_text(body: bytes) -> bytes:
    """JSON inside a text of JSON."""
    return body_of(body.decode(errors="replace"))[1:-1]


def _damaged(name: str, chance: Random) -> bytes:
    fresh = b"e-%d" % chance.randrange(1, 200) if chance.random() < 0.3 else b"n-%d" % chance.getrandbits(60)
    if chance.random() < 0.6:  # the event alone, in a message that is whole
        events = [*EVENTS, *CLOUD_EVENTS, *TYPED_EVENTS]
        body = damaged_at_random(events, chance, 1) if chance.random() < 0.7 else chance.choice(events)
        body = body.replace(b"e-1", fresh).replace(b"e-2", fresh)
        return body if name == PLAIN_QUEUE else _entry_with(body)
    samples = [*PLAIN, *EVENTS] if name == PLAIN_QUEUE else ENTRIES
    return damaged_at_random(samples, chance).replace(b"e-1", fresh)


def _is_copy(found: StrictEvent, known: StrictEvent) -> bool:
    """Whether an event under the key of another is a copy of it, by the fields that the version has which the first one needs."""
    old = "price_chf" in known.fields and known.fields.keys() <= _OF_VERSION_1
    return _billed(found, old=old) == _billed(known, old=old)


def _billed(found: StrictEvent, *, old: bool) -> dict[str, Any]:
    fields = {name: value for name, value in found.fields.items() if name not in _UNBILLED and (name in _OF_VERSION_1 or not old)}
    if fields.get("usage") == {} or (old and "usage_dialect" in found.fields):
        fields.pop("usage", None)
    return fields


def test_damaged_messages_are_dead_letters_and_harm_no_other(fuzz: Fuzz) -> None:
    """Eight hundred messages, most of them damaged: the good ones are recorded, each bad one is one dead letter with its bytes, the books agree."""
    chance = Random(20)
    for name in ("usage", PLAIN_QUEUE):
        fuzz.send(name, chance, 400)
    fuzz.judge()
    assert len(fuzz.good) > 100
    assert len(fuzz.expected.letters) > 100
    assert len(fuzz.expected.first) > len(fuzz.good) + 30


@pytest.mark.long
@pytest.mark.timeout(int(SECONDS) + 1800)
def test_damaged_messages_for_a_while(fuzz: Fuzz) -> None:
    """The same with ever other messages."""
    from_seed, ends = random.SystemRandom().randrange(2**32), monotonic() + SECONDS
    print(f"seed {from_seed}")  # noqa: T201 - shown where it fails
    chance = Random(from_seed)
    while monotonic() < ends:
        for name in ("usage", PLAIN_QUEUE):
            fuzz.send(name, chance, 1_000)
        fuzz.judge()
