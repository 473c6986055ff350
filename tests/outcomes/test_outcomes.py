"""What a producer is told of events that aren't recorded: written with them, published at least once, bounded."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest

from core.config import Configuration
from core.database.database import Database
from core.errors import StorageUnavailable
from core.events.envelope import QueueEntry, open_entry
from core.events.message import RECORD_BATCH, raw_events, told_on
from core.events.parsing import RawEvent
from core.outcomes.publish import publish_outcomes, queues_with_outcomes, withhold_old_outcomes
from core.outcomes.sql import outbox
from lab.bench.traffic import celery_message
from tests.books.threads import at_once
from tests.conftest import DatabaseUrls, Record, Rows
from tests.recording.mortal import MortalDatabase
from tests.sample_events import body_of, event
from tests.scene import PutSettings

QUEUE = "tollbook.outcomes.shop"


class Kept:
    """A queue of a broker that keeps what it was given."""

    def __init__(self, messages_max: int = 1_000) -> None:
        self.messages_max, self.told = messages_max, list[dict[str, object]]()

    def room(self) -> int:
        """What is left of its bound."""
        return self.messages_max - len(self.told)

    def put(self, bodies: Sequence[bytes]) -> None:
        """Takes them all."""
        self.told += map(json.loads, bodies)


def asked(fields: dict[str, object] | bytes, queue: str | None = QUEUE) -> RawEvent:
    """An event whose producer wants to be told on this queue."""
    return RawEvent(fields if isinstance(fields, bytes) else body_of(fields), "usage/usage.record", told_on=queue)


@pytest.mark.parametrize("name", ["shop", "a.b_C-9", "x" * 64])
def test_the_queues_of_outcomes_alone_are_written_to(name: str) -> None:
    """Celery's own random `reply_to`, and any other name, are ignored."""
    assert told_on(f"tollbook.outcomes.{name}") == f"tollbook.outcomes.{name}"


@pytest.mark.parametrize(
    "reply_to",
    [
        None,
        5,
        "",
        "usage",
        "tollbook.outcomes.",
        "tollbook.claims",
        "tollbook.outcomes.a\x06\x163",
        "tollbook.outcomes." + "x" * 65,
        "tollbook.outcomes.é",
    ],
)
def test_no_other_name_is_written_to(reply_to: object) -> None:
    """Neither queues of ours nor what only looks like one of outcomes."""
    assert told_on(reply_to) is None


def test_a_message_hands_its_queue_on_to_its_events() -> None:
    """In an envelope of stock Celery, in one that is read with care, and in properties beside the body; a message that can't be read does, too."""
    stock = json.loads(celery_message(RECORD_BATCH, [event(), event()]))
    assert {raw.told_on for raw in raw_events(open_entry(QueueEntry("usage", json.dumps(stock).encode())))} == {None}
    stock["properties"]["reply_to"] = QUEUE
    odd = {**stock, "content-encoding": "UTF-8"}
    unread = {**stock, "headers": {"task": "no.task"}}
    for envelope in (stock, odd, unread):
        assert {raw.told_on for raw in raw_events(open_entry(QueueEntry("usage", json.dumps(envelope).encode())))} == {QUEUE}
    plain = QueueEntry("usage.json", body_of([event(), event()]), QUEUE)
    assert [raw.told_on for raw in raw_events(open_entry(plain))] == [QUEUE, QUEUE]


def test_refused_and_parked_events_are_told_and_others_are_not(record: Record, put_settings: PutSettings, database: Database, rows: Rows) -> None:
    """Rejected, in conflict, parked: each once with its reason and dead letter, in the order in which they came; nobody hears of other producers'."""
    put_settings(users=["ada"])
    first, parked, wrong, garbage = event(), event(mandate_id="stranger"), event(price_chf="-1"), b"{"
    conflict = first | {"price_chf": "9"}
    batch: list[dict[str, object] | bytes] = [first, first, parked, parked, wrong, garbage, conflict]
    record(*(asked(one) for one in batch), asked(garbage, None))
    letters = {bytes(row["body_sha256"]): row["id"] for row in rows("SELECT id, body_sha256 FROM dead_letters")}
    queue = Kept()
    assert queues_with_outcomes(database) == [QUEUE]
    assert publish_outcomes(database, QUEUE, queue) == 4
    assert publish_outcomes(database, QUEUE, queue) == 0
    assert [(one["outcome"], one["reason"], one["event_id"], one["dead_letter_id"]) for one in queue.told] == [
        ("parked", "unknown_mandate", parked["event_id"], None),
        ("rejected", "invalid_field", wrong["event_id"], letters[sha256(body_of(wrong)).digest()]),
        ("rejected", "malformed_json", None, letters[sha256(garbage).digest()]),
        ("conflict", "conflict", first["event_id"], letters[sha256(body_of(conflict)).digest()]),
    ]
    assert [one["mandate_id"] for one in queue.told] == ["stranger", "acme", None, "acme"]
    assert str(queue.told[1]["detail"]).startswith("price_chf")
    assert len({str(one["outcome_id"]) for one in queue.told}) == 4
    assert queues_with_outcomes(database) == []


def test_a_queue_gets_no_more_than_it_may_hold(record: Record, database: Database, make_config: Callable[..., Configuration]) -> None:
    """What the broker's queue has no room for waits; what the books have no room for is told to nobody, whatever other queues hold."""
    config = make_config(outcomes_queue_max=3)
    for _ in range(2):
        record(*(asked(b"{%d" % n) for n in range(2)), asked(b"[", QUEUE + "2"), config=config)
    queue, other = Kept(2), Kept()
    assert [publish_outcomes(database, QUEUE, queue) for _ in range(2)] == [2, 0]
    assert publish_outcomes(database, QUEUE + "2", other) == 2
    queue.messages_max = 9
    assert publish_outcomes(database, QUEUE, queue) == 1


def test_names_of_queues_are_bounded(record: Record, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """While something waits for so many, further ones are told nothing; those that wait are."""
    monkeypatch.setattr(outbox, "QUEUES_MAX", 3)
    record(*(asked(b"{", f"{QUEUE}{n}") for n in range(2)))
    record(*(asked(b"{", f"{QUEUE}{n}") for n in range(1, 9)))
    assert queues_with_outcomes(database) == [f"{QUEUE}{n}" for n in range(3)]


def test_what_dies_before_its_commit_is_told_again(record: Record, database_urls: DatabaseUrls, config: Configuration, database: Database) -> None:
    """Under the same outcome id; several publishers at once tell each outcome once."""
    record(*(asked(b"{%d" % n) for n in range(150)))
    queue, mortal = Kept(), MortalDatabase(database_urls.worker, config)
    mortal.commits_left = 0
    with pytest.raises(StorageUnavailable):
        publish_outcomes(mortal, QUEUE, queue)
    first = queue.told
    queue.told = []
    while any(at_once(*[lambda: publish_outcomes(database, QUEUE, queue)] * 3)):
        pass
    mortal.dispose()
    ids = [one["outcome_id"] for one in queue.told]
    assert len(set(map(str, ids))) == len(ids) == 150
    assert [one["outcome_id"] for one in first] == ids[:100]


def test_what_nobody_reads_is_given_up(record: Record, database: Database, rows: Rows) -> None:
    """After days, so that a queue that is never emptied keeps nothing for ever."""
    record(asked(b"{"), asked(b"{2"))
    rows("UPDATE outcome_messages SET recorded_at = now() - interval '8 days' WHERE id = (SELECT min(id) FROM outcome_messages)")
    assert withhold_old_outcomes(database, 7) == 1
    assert len(rows("SELECT FROM outcome_messages")) == 1
