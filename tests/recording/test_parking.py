"""The car park: valid events of mandates that are not known yet, and their release."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from core.config import Configuration
from core.database.database import Database
from core.errors import TollbookError
from core.events.outcome import BatchResult, Outcome
from core.events.parsing import RawEvent
from core.events.payload import payload_hash
from core.recording import conflicts, parking
from core.recording import release_parked as releasing
from core.recording.sql.parked_events import ParkedEvent, park_events
from tests.conftest import Record, Rows
from tests.sample_events import NOW, body_of, event, parsed
from tests.scene import PutMandate, PutSettings

RECORDED, DUPLICATE, CONFLICT, REJECTED, PARKED = (Outcome(name) for name in ("recorded", "duplicate", "conflict", "rejected", "parked"))
Release = Callable[..., BatchResult]
PARKED_ROWS = "SELECT * FROM parked_events ORDER BY received_at, event_id"
USAGE = "SELECT * FROM transactions WHERE reference_type = 'WORKFLOW' ORDER BY id"


def test_a_parked_event_is_kept_whole(record: Record, rows: Rows) -> None:
    """Its bytes, origin, hash and time of receipt are there, under (mandate, event id)."""
    fields = event()
    record(RawEvent(body_of(fields) + b" ", "queue usage", typed_json=True))
    (row,) = rows("SELECT *, received_at BETWEEN now() - interval '1 minute' AND now() AS recent FROM parked_events")
    assert (row["mandate_id"], row["event_id"], row["origin"], row["typed_json"]) == ("acme", fields["event_id"], "queue usage", True)
    assert (bytes(row["body"]), bytes(row["payload_hash"]), row["hash_version"]) == (body_of(fields) + b" ", payload_hash(parsed(fields)), 1)
    assert row["recent"]


@pytest.mark.parametrize("together", [True, False])
def test_copies_of_a_parked_event(together: bool, record: Record, rows: Rows) -> None:
    """A copy is a duplicate, another payload a conflict with its difference; the first stays parked."""
    first = event(price_chf="1")
    batch = [first, first, {**first, "price_chf": "2"}]
    outcomes = record(*batch).outcomes if together else [record(one).outcomes[0] for one in batch]
    assert outcomes == [PARKED, DUPLICATE, CONFLICT]
    assert [bytes(row["body"]) for row in rows(PARKED_ROWS)] == [body_of(first)]
    assert [row["difference"] for row in rows("SELECT difference FROM dead_letters")] == [{"price_chf": ["1.000000000", "2.000000000"]}]


def test_release_records_what_is_known_by_now(record: Record, release: Release, rows: Rows, put_mandate: PutMandate) -> None:
    """Recorded through the same way as always, deleted from the car park, counted as released; the rest stays."""
    record(event(price_chf="1"), event(price_chf="2"), event(mandate_id="nobody"))
    assert release().outcomes == []
    put_mandate(users=["ada"])
    assert release().outcomes == [RECORDED, RECORDED]
    assert [row["mandate_id"] for row in rows(PARKED_ROWS)] == ["nobody"]
    assert [row["balance"] for row in rows("SELECT balance FROM accounts")] == [Decimal(7)]
    batch = rows("SELECT * FROM batches ORDER BY id")[-1]
    assert (batch["kind"], batch["released"], batch["recorded"], batch["worker"]) == ("release", 2, 2, "test")
    assert {row["batch_id"] for row in rows("SELECT batch_id FROM rollup_pending")} == {batch["id"]}
    assert release().outcomes == []


def test_an_event_that_was_released_is_known_for_ever(record: Record, release: Release, put_mandate: PutMandate) -> None:
    """Delivered again after its release it is a duplicate, and another payload a conflict."""
    fields = event()
    record(fields)
    put_mandate(users=["ada"])
    release()
    assert record(fields, {**fields, "price_chf": "9"}).outcomes == [DUPLICATE, CONFLICT]


def test_between_knowing_a_mandate_and_its_release(record: Record, release: Release, rows: Rows, put_mandate: PutMandate) -> None:
    """A copy that comes in between is a duplicate of the parked one, another payload a conflict, a new event recorded."""
    fields = event(price_chf="1")
    record(fields)
    put_mandate(users=["ada"])
    assert record(fields, {**fields, "price_chf": "2"}, event(price_chf="4")).outcomes == [DUPLICATE, CONFLICT, RECORDED]
    assert release().outcomes == [RECORDED]
    assert record(fields).outcomes == [DUPLICATE]
    assert sorted(row["amount"] for row in rows(USAGE)) == [Decimal(1), Decimal(4)]


def test_the_oldest_are_released_first(
    record: Record, release: Release, rows: Rows, put_mandate: PutMandate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release takes a limited number, by time of receipt, and repeated releases get them all."""
    monkeypatch.setattr(releasing, "BATCH_EVENTS_MAX", 2)
    names = ["c", "a", "e", "b", "d"]
    for age, name in enumerate(names):
        record(event(event_id=name))
        rows("UPDATE parked_events SET received_at = now() - make_interval(mins => :age) WHERE event_id = :name", age=100 - age, name=name)
    put_mandate(users=["ada"])
    sizes = []
    for _ in range(4):
        sizes.append(len(release().outcomes))
        assert {row["event_id"] for row in rows(USAGE)} == set(names[: sum(sizes)])
    assert sizes == [2, 2, 1, 0]


def test_a_parked_event_never_grows_too_old(record: Record, release: Release, put_mandate: PutMandate) -> None:
    """Lateness is judged when it was first received: a copy years later is a duplicate, and it is released however old."""
    old = NOW - timedelta(days=500)
    fields = event(occurred_at=(old - timedelta(hours=1)).isoformat())
    assert record(fields, clock=lambda: old).outcomes == [PARKED]
    assert record(fields, clock=lambda: NOW).outcomes == [DUPLICATE]
    put_mandate(users=["ada"])
    assert record(fields, clock=lambda: NOW).outcomes == [DUPLICATE]
    assert release().outcomes == [RECORDED]


def test_a_late_event_of_an_unknown_mandate_is_too_late(record: Record, rows: Rows) -> None:
    """What nobody saw before it grew too old is a dead letter, not parked."""
    assert record(event(occurred_at=(NOW - timedelta(days=500)).isoformat())).reasons == {"too_late": 1}
    assert rows(PARKED_ROWS) == []


@pytest.mark.parametrize(("limits", "room"), [({"parked_limit_per_mandate": 3}, 4), ({"parked_limit_total": 3}, 3)])
@pytest.mark.parametrize("together", [True, False])
def test_a_full_car_park_takes_no_more(
    limits: dict[str, int], room: int, together: bool, record: Record, make_config: Callable[..., Configuration]
) -> None:
    """Beyond the limit of a mandate or of all, an event is a dead letter `parked_limit`; other mandates keep their own room."""
    config = make_config(**limits)
    batch = [event(mandate_id="acme") for _ in range(5)] + [event(mandate_id="other")]
    results = [record(*batch, config=config)] if together else [record(one, config=config) for one in batch]
    outcomes = [outcome for result in results for outcome in result.outcomes]
    assert outcomes[:5] == [PARKED] * 3 + [REJECTED] * 2
    assert outcomes.count(PARKED) == room
    assert {reason for result in results for reason in result.reasons} == {"parked_limit"}


def test_a_refused_event_can_be_delivered_again(
    record: Record, rows: Rows, release: Release, put_mandate: PutMandate, make_config: Callable[..., Configuration]
) -> None:
    """The dead letter has its bytes and no key stands in the way; what is parked already is still a duplicate at the limit."""
    config = make_config(parked_limit_per_mandate=1)
    one, other = event(), event()
    assert record(one, other, other, one, config=config).outcomes == [PARKED, REJECTED, REJECTED, DUPLICATE]
    (letter,) = rows("SELECT * FROM dead_letters")
    assert (letter["reason"], letter["attempts"], letter["event_id"]) == ("parked_limit", 2, other["event_id"])
    put_mandate(users=["ada"])
    release()
    assert record(bytes(letter["body"]), config=config).outcomes == [RECORDED]


def test_release_without_a_directory_takes_everything(record: Record, release: Release, make_config: Callable[..., Configuration]) -> None:
    """Once `unknown_mandates=create` is configured, what was parked before is recorded."""
    record(event(), event(mandate_id="other"))
    assert release(config=make_config(unknown_mandates="create")).outcomes == [RECORDED, RECORDED]


def test_release_without_a_directory_leaves_the_disabled_alone(
    record: Record, release: Release, rows: Rows, put_mandate: PutMandate, make_config: Callable[..., Configuration]
) -> None:
    """A disabled mandate's events can't be released, so a release finds nothing to do and leaves their time of receipt as it was."""
    put_mandate(enabled=False)
    record(event())
    before = rows(PARKED_ROWS)
    assert release(config=make_config(unknown_mandates="create")).outcomes == []
    assert rows(PARKED_ROWS) == before


def test_a_release_does_not_wait_for_another(record: Record, release: Release, put_mandate: PutMandate, owner_database: Database) -> None:
    """What another release has taken is left alone at once, and taken later if it was given back."""
    record(event())
    put_mandate(users=["ada"])
    with owner_database.transaction() as other:
        other.execute(text("SELECT FROM parked_events FOR UPDATE"))
        assert release().outcomes == []
    assert release().outcomes == [RECORDED]


def test_a_disabled_mandate_is_released_once_it_is_enabled(record: Record, release: Release, put_mandate: PutMandate) -> None:
    """Disabled is parked, enabled is recorded."""
    put_mandate(users=["ada"], enabled=False)
    record(event())
    assert release().outcomes == []
    put_mandate(users=["ada"])
    assert release().outcomes == [RECORDED]


def test_release_isolates_what_the_database_refuses(record: Record, release: Release, rows: Rows, put_mandate: PutMandate) -> None:
    """One bad parked event becomes a dead letter, its neighbours are recorded, and all leave the car park."""
    rows("ALTER TABLE transactions ADD CONSTRAINT picky CHECK (model <> 'bad')")
    record(*[event(model="bad" if number == 5 else "good") for number in range(10)])
    put_mandate(users=["ada"])
    result = release()
    assert (result.counts()[RECORDED], result.reasons) == (9, {"data_error": 1})
    assert rows(PARKED_ROWS) == []
    assert [row["reason"] for row in rows("SELECT reason FROM dead_letters")] == ["data_error"]


def test_a_row_that_leaves_the_car_park_in_between_is_no_accident(record: Record, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parked by one worker and released by another while a third looks: an outcome, or a named error that asks for a retry."""
    fields = event()
    original = park_events

    def park_late(connection: object, events: list[ParkedEvent]) -> set[tuple[str, str]]:
        monkeypatch.setattr(parking, "park_events", original)
        record(fields)
        arrived = original(connection, events)  # type: ignore[arg-type]
        rows("DELETE FROM parked_events")
        return arrived

    monkeypatch.setattr(parking, "park_events", park_late)
    try:
        assert record(fields).outcomes in ([DUPLICATE], [PARKED])
    except TollbookError:
        assert record(fields).outcomes == [PARKED]


def test_a_conflict_with_a_row_that_is_released_in_between_is_no_accident(
    record: Record, release: Release, put_settings: PutSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first payload leaves the car park while the second is compared with it: a conflict, or a named error that asks for a retry."""
    fields = event()
    record(fields)
    put_settings(users=["ada"])
    original = conflicts._first_events

    def released_first(*arguments: object) -> object:
        monkeypatch.setattr(conflicts, "_first_events", original)
        assert release().outcomes == [RECORDED]
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(conflicts, "_first_events", released_first)
    second = {**fields, "price_chf": "9"}
    try:
        assert record(second).outcomes == [CONFLICT]
    except TollbookError:
        assert record(second).outcomes == [CONFLICT]


def test_a_parked_event_is_never_from_the_future_again(record: Record, release: Release, put_settings: PutSettings) -> None:
    """Accepted by one clock, it is recorded at its release by another that goes behind."""
    tomorrow = NOW + timedelta(days=1)
    assert record(event(occurred_at=tomorrow.isoformat()), clock=lambda: tomorrow).outcomes == [PARKED]
    put_settings(users=["ada"])
    assert release().outcomes == [RECORDED]
