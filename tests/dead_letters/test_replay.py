"""Replaying and discarding dead letters: through the same recording, once, and nothing forgotten."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.dead_letters.discard import discard_dead_letters
from core.dead_letters.read import list_dead_letters
from core.dead_letters.replay import Replay, Replaying, replay_dead_letters
from core.dead_letters.sql.status import Choice
from core.errors import NotFound
from core.events.outcome import BatchResult, Outcome
from core.events.parsing import RawEvent
from core.ledger.opening import KnownAccounts
from core.rejection import Reason, Rejection
from tests.books.threads import at_once
from tests.conftest import Record, Row, Rows
from tests.sample_events import body_of, event
from tests.scene import Breaches, PutAccount, PutMandate, PutSettings

ReplayLetters = Callable[..., Replay]
LATE = "2020-01-01T00:00:00Z"


@pytest.fixture
def replay(database: Database, config: Configuration) -> ReplayLetters:
    """Replays the letters that the choice means: all open ones by default."""

    def call(
        choice: Choice | None = None, *, database: Database = database, progress: Callable[[Replay], None] = lambda _: None, **how: Any
    ) -> Replay:
        return replay_dead_letters(database, ROOT, choice or Choice(), Replaying(config, "test", "olga", **how), progress)

    return call


@pytest.fixture
def letters(rows: Rows) -> Callable[[], list[Row]]:
    """Every dead letter, the oldest first."""
    return lambda: rows("SELECT * FROM dead_letters ORDER BY id")


Letters = Callable[[], list[Row]]


@pytest.fixture
def brink(put_settings: PutSettings, put_account: PutAccount, rows: Rows) -> Callable[[], None]:
    """A mandate whose pool the database lets fall by less than a franc; the function makes room."""
    put_settings("brink", BillingModel.PREPAY_MANDATE, users=["ada"])
    put_account(None, mandate_id="brink")
    rows("ALTER TABLE accounts ADD CONSTRAINT brink CHECK (mandate_id <> 'brink' OR balance > -1)")

    def make_room() -> None:
        rows("ALTER TABLE accounts DROP CONSTRAINT brink")

    return make_room


def test_what_can_be_recorded_now_is_and_the_letter_says_so(
    record: Record, replay: ReplayLetters, letters: Letters, rows: Rows, brink: Callable[[], None], breaches: Breaches
) -> None:
    """A letter that the database refused is recorded by a replay, through a batch of its own kind, and resolved with it; a second finds none."""
    record(event(mandate_id="brink", price_chf="1.5"))
    assert [letter["reason"] for letter in letters()] == ["data_error"]
    brink()
    done = replay()
    assert (done.letters, done.replayed, done.still_open, dict(done.outcomes)) == (1, 1, 0, {"recorded": 1})
    (letter,) = letters()
    assert (letter["status"], letter["resolved_by"], letter["resolution"], letter["attempts"]) == ("REPLAYED", "olga", "recorded 1", 1)
    batch = rows("SELECT kind, recorded, rejected, released FROM batches ORDER BY id")[-1]
    assert batch == {"kind": "replay", "recorded": 1, "rejected": 0, "released": 1}
    assert replay().letters == 0
    assert rows("SELECT count(*) AS n FROM transactions WHERE mandate_id = 'brink'") == [{"n": 1}]
    assert breaches() == {}


def test_what_is_refused_again_stays_open_with_the_new_reason(
    record: Record, replay: ReplayLetters, letters: Letters, put_mandate: PutMandate, breaches: Breaches, make_config: Callable[..., Configuration]
) -> None:
    """One attempt more, and whatever it was refused for this time."""
    fields = event(mandate_id="new")
    full = make_config(parked_limit_total=1)
    record(event(mandate_id="other"), config=full)
    assert record(fields, config=full).reasons == {"parked_limit": 1}
    put_mandate("new", users=["ada"])
    assert record({**fields, "price_chf": "7"}).outcomes == [Outcome.RECORDED]
    done = replay()
    assert (done.replayed, done.still_open, dict(done.reasons)) == (0, 1, {"conflict": 1})
    (letter,) = letters()
    assert (letter["status"], letter["reason"], letter["attempts"], letter["resolved_at"]) == ("OPEN", "conflict", 2, None)
    assert letter["difference"] == {"price_chf": ["7.000000000", "0.250000000"]}
    assert breaches() == {}


def test_a_full_car_park_that_has_room_again_parks(
    record: Record, replay: ReplayLetters, letters: Letters, make_config: Callable[..., Configuration]
) -> None:
    """A letter of a full car park is parked by its replay, and thereby resolved."""
    record(event(mandate_id="new"))
    record(event(mandate_id="new"), config=make_config(parked_limit_total=1))
    assert dict(replay().outcomes) == {"parked": 1}
    assert [(letter["status"], letter["resolution"]) for letter in letters()] == [("REPLAYED", "parked 1")]


def test_age_counts_from_the_first_receipt(record: Record, replay: ReplayLetters, letters: Letters, put_mandate: PutMandate, rows: Rows) -> None:
    """What was too late then stays so until the operator says otherwise; what grew old since then is recorded."""
    put_mandate(users=["ada"])
    record(event(occurred_at=LATE))
    assert dict(replay().reasons) == {"too_late": 1}
    assert replay(accept_late=True).replayed == 1
    assert record(RawEvent(body_of(event(occurred_at=LATE)), "test", defect=Rejection(Reason.CRASH_LOOP, "5 times"))).reasons == {"crash_loop": 1}
    rows("UPDATE dead_letters SET first_seen_at = '2020-01-02T00:00:00Z' WHERE status = 'OPEN'")
    assert dict(replay().outcomes) == {"recorded": 1}
    assert [letter["status"] for letter in letters()] == ["REPLAYED", "REPLAYED"]


def test_an_event_of_the_future_is_recorded_once_its_time_has_come(record: Record, replay: ReplayLetters, put_mandate: PutMandate) -> None:
    """The clock of the replay counts, not that of the first receipt."""
    put_mandate(users=["ada"])
    ahead = datetime.now(UTC) + timedelta(hours=2)
    record(event(occurred_at=ahead.isoformat()))
    assert dict(replay().reasons) == {"future": 1}
    assert dict(replay(clock=lambda: ahead).outcomes) == {"recorded": 1}


def test_the_choice_is_what_is_replayed(record: Record, replay: ReplayLetters, letters: Letters, rows: Rows) -> None:
    """By id, by reason, by mandate and by the time of the latest delivery; resolved ones are left alone, unknown ids are named."""
    record(b"bad", b"worse", event(price_chf="-1", mandate_id="acme"), event(price_chf="-1", mandate_id="globex"))
    first = letters()[0]["id"]
    assert replay(Choice(ids=[first])).letters == 1
    assert replay(Choice(reason="malformed_json")).letters == 2
    assert replay(Choice(mandate_id="globex")).letters == 1
    assert replay(Choice(mandate_id="acme", reason="malformed_json")).letters == 0
    rows("UPDATE dead_letters SET last_seen_at = '2026-01-01T12:00:00Z' WHERE mandate_id = 'acme'")
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert replay(Choice(since=noon, until=noon + timedelta(seconds=1)), dry_run=True).letters == 1
    assert replay(Choice(until=noon)).letters == 0
    rows("UPDATE dead_letters SET status = 'DISCARDED' WHERE id = :id", id=first)
    assert replay(Choice(ids=[first])).letters == 0
    with pytest.raises(NotFound, match="there is no dead letter 4711"):
        replay(Choice(ids=[first, 4711]))


def test_a_dry_run_tells_and_takes_everything_back(
    record: Record, replay: ReplayLetters, rows: Rows, brink: Callable[[], None], breaches: Breaches
) -> None:
    """It says what a replay would come to, and writes nothing at all."""
    record(event(mandate_id="brink", price_chf="1.5"), b"bad")
    brink()
    tables = ("dead_letters", "batches", "transactions", "accounts", "event_keys", "balance_alerts", "rollup_pending")
    before = [rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables]
    done = replay(dry_run=True)
    assert (done.letters, done.replayed, done.still_open, dict(done.outcomes)) == (2, 1, 1, {"recorded": 1, "rejected": 1})
    assert [rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables] == before
    assert replay().replayed == 1
    assert breaches() == {}


def test_what_is_not_kept_whole_can_not_be_replayed(record: Record, replay: ReplayLetters, letters: Letters) -> None:
    """Of more than 256 KiB only the beginning is there: such letters are counted and stay as they are."""
    record(b"x" * 300_000, b"bad", b"y" * 300_000)
    done = replay()
    assert (done.letters, done.not_whole, done.still_open) == (3, 2, 1)
    assert sorted(letter["attempts"] for letter in letters()) == [1, 1, 2]


def test_many_letters_are_replayed_in_parts(record: Record, replay: ReplayLetters, letters: Letters, put_mandate: PutMandate) -> None:
    """Each letter is looked at once, those that crashed the intake in transactions of their own, and a bad one harms no other."""
    put_mandate(users=["ada"])
    crashed, count = Rejection(Reason.CRASH_LOOP, "begun 5 times"), 450
    bodies = [body_of(event(price_chf="0.01")) for _ in range(count)]
    record(*[RawEvent(body, "test", defect=crashed if n % 150 == 0 else Rejection(Reason.DATA_ERROR, "x")) for n, body in enumerate(bodies)], b"bad")
    seen: list[int] = []
    done = replay(progress=lambda so_far: seen.append(so_far.done))
    assert (done.replayed, done.still_open, done.outcomes["recorded"]) == (count, 1, count)
    assert seen[-1] == count + 1
    assert len(seen) >= 3 + 3


def in_envelope(body: object, task: str = "usage.record") -> bytes:
    """A Celery message of protocol 2 as the broker keeps it."""
    return json.dumps(
        {
            "body": json.dumps(body),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": task},
            "properties": {"body_encoding": "utf-8"},
        }
    ).encode()


@pytest.mark.parametrize(
    ("make", "origin", "outcomes"),
    [
        (lambda events: in_envelope([[events[0]], {}, {}]), "usage/usage.record", {"recorded": 1}),
        (lambda events: in_envelope([[events], {}, {}], "usage.record_batch"), "usage/usage.record_batch", {"recorded": 2, "rejected": 1}),
        (lambda events: json.dumps([[], {"event": events[0]}, {}]).encode(), "/usage.record", {"recorded": 1}),
        (body_of, "usage.json", {"recorded": 2, "rejected": 1}),
        (lambda events: in_envelope([[events[0]], {}, {}], "os.system"), "usage/os.system", {"rejected": 1}),
    ],
)
def test_a_whole_message_is_opened_as_intake_opens_it(
    make: Callable[[Sequence[object]], bytes],
    origin: str,
    outcomes: dict[str, int],
    record: Record,
    replay: ReplayLetters,
    letters: Letters,
    put_mandate: PutMandate,
    breaches: Breaches,
) -> None:
    """A message that an older program could not read gives each of its events an outcome; a refused one gets a letter of its own."""
    put_mandate(users=["ada"])
    entry = make([event(), event(), {**event(), "cost": 1}])
    record(RawEvent(entry, origin, typed_json=True, defect=Rejection(Reason.MALFORMED_ARGUMENTS, "of an older program")))
    done = replay()
    assert dict(done.outcomes) == outcomes
    whole, *elements = letters()
    if "os.system" in origin:
        assert (whole["status"], whole["reason"], whole["attempts"]) == ("OPEN", "unknown_task", 2)
    else:
        assert (whole["status"], whole["resolution"]) == ("REPLAYED", ", ".join(f"{name} {n}" for name, n in outcomes.items()))
        assert [letter["reason"] for letter in elements] == ["unknown_field"] * outcomes.get("rejected", 0)
    assert breaches() == {}


def test_a_crash_loop_is_opened_by_what_was_kept(record: Record, replay: ReplayLetters, letters: Letters, put_mandate: PutMandate) -> None:
    """The event, or where opening it was deadly the whole entry."""
    put_mandate(users=["ada"])
    crashed = Rejection(Reason.CRASH_LOOP, "begun 6 times")
    record(
        RawEvent(in_envelope([[event()], {}, {}]), "usage/", typed_json=True, defect=crashed),
        RawEvent(body_of([event(), event()]), "usage.json/", typed_json=True, defect=crashed),
        RawEvent(body_of(event()), "usage/usage.record", typed_json=True, defect=crashed),
    )
    assert dict(replay().outcomes) == {"recorded": 4}
    assert {letter["status"] for letter in letters()} == {"REPLAYED"}


def test_replays_at_once_and_live_copies_record_once(
    record: Record,
    replay: ReplayLetters,
    connect: Callable[[], Database],
    letters: Letters,
    rows: Rows,
    brink: Callable[[], None],
    breaches: Breaches,
) -> None:
    """Two replays and two recorders of the same events at once: one debit each, every letter resolved once, nobody stuck."""
    batch = [event(mandate_id="brink", price_chf="1.5") for _ in range(60)]
    record(*batch)
    assert len(letters()) == 60
    brink()
    results: list[Any] = at_once(
        *[partial(replay, database=connect()) for _ in range(2)],
        *[partial(record, *batch, database=connect(), known_accounts=KnownAccounts()) for _ in range(2)],
    )
    replays, recorded = results[:2], results[2:]
    assert sum(done.replayed for done in replays) == 60
    assert sum(d.outcomes["recorded"] for d in replays) + sum(r.counts()[Outcome.RECORDED] for r in recorded) == 60
    assert {letter["status"] for letter in letters()} == {"REPLAYED"}
    assert rows("SELECT count(*) AS n FROM transactions WHERE reference_type = 'WORKFLOW'") == [{"n": 60}]
    assert breaches() == {}


def test_a_crash_before_the_commit_leaves_everything_open(
    record: Record, replay: ReplayLetters, letters: Letters, put_mandate: PutMandate, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events and letters commit together: after a failure in between neither is there, and a repetition does both."""
    put_mandate(users=["ada"])
    record(event(occurred_at=LATE))

    def crash(*_: object) -> None:
        raise RuntimeError("crashed")

    with monkeypatch.context() as patched:
        patched.setattr("core.dead_letters.replay.resolve_letters", crash)
        with pytest.raises(RuntimeError, match="crashed"):
            replay(accept_late=True)
    assert [letter["status"] for letter in letters()] == ["OPEN"]
    assert rows("SELECT count(*) AS n FROM event_keys") == [{"n": 0}]
    assert replay(accept_late=True).replayed == 1


def test_discarding_in_parts_takes_each_letter_once(record: Record, database: Database, letters: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part after part goes on behind the last letter of the one before, whatever lies in between; progress tells the sum."""
    record(*[b"bad %d" % n if n % 3 else body_of(event(price_chf="-1")) for n in range(11)])
    monkeypatch.setattr("core.dead_letters.discard.LETTERS_MAX", 2)
    told: list[int] = []
    choice = Choice(reason="malformed_json")
    assert discard_dead_letters(database, ROOT, choice, by="olga", resolution="test traffic", progress=told.append) == 7
    assert told == [2, 4, 6, 7]
    assert {(letter["reason"], letter["status"]) for letter in letters()} == {("malformed_json", "DISCARDED"), ("invalid_field", "OPEN")}


def test_discarding_is_final_and_seen_when_the_bytes_come_again(
    record: Record, replay: ReplayLetters, letters: Letters, database: Database, breaches: Breaches
) -> None:
    """Discarded letters are replayed by nobody; a redelivery counts, opens nothing, and the list shows it."""
    record(b"bad", b"worse", event(price_chf="-1"))
    discard = partial(discard_dead_letters, database, ROOT, by="olga", resolution="test traffic")
    assert discard(Choice(reason="malformed_json")) == 2
    assert discard(Choice(reason="malformed_json")) == 0
    assert {(letter["status"], letter["resolution"]) for letter in letters() if letter["reason"] == "malformed_json"} == {
        ("DISCARDED", "test traffic")
    }
    assert replay().letters == 1
    assert list_dead_letters(database, ROOT, seen_again=True) == []
    record(b"bad")
    (again,) = list_dead_letters(database, ROOT, seen_again=True)
    assert (again.status, again.attempts, again.seen_again) == ("DISCARDED", 2, True)
    with pytest.raises(NotFound, match="there is no dead letter 4711"):
        discard(Choice(ids=[4711]))
    assert breaches() == {}


def test_what_was_replayed_into_the_car_park_and_refused_at_its_release_is_open_again(
    record: Record,
    replay: ReplayLetters,
    letters: Letters,
    rows: Rows,
    put_mandate: PutMandate,
    release: Callable[[], BatchResult],
    make_config: Callable[..., Configuration],
    breaches: Breaches,
) -> None:
    """No event ends in a letter that says it is replayed while it is neither in the books nor parked."""
    record(event(mandate_id="new"))
    record(event(mandate_id="new", model="bad"), config=make_config(parked_limit_total=1))
    assert dict(replay().outcomes) == {"parked": 1}
    rows("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '22000'; END $$")
    rows("CREATE TRIGGER refuse BEFORE INSERT ON transactions FOR EACH ROW WHEN (NEW.model = 'bad') EXECUTE FUNCTION refuse()")
    put_mandate("new", users=["ada"])
    assert release().summary() == "recorded 1, rejected 1"
    (letter,) = letters()
    assert (letter["status"], letter["reason"], letter["attempts"], letter["resolved_at"]) == ("OPEN", "data_error", 2, None)
    assert breaches() == {}
    rows("DROP TRIGGER refuse ON transactions")
    assert dict(replay().outcomes) == {"recorded": 1}
    assert breaches() == {}
