"""Copies and contradictions of an event: nothing moves twice, and the first one stays."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from core.config import Configuration
from core.events.outcome import Outcome
from core.events.payload import payload_hash
from tests.conftest import Record, Rows
from tests.sample_events import NOW, OCCURRED_AT, body_of, event, parsed
from tests.scene import PutMandate

RECORDED, DUPLICATE, CONFLICT, REJECTED = Outcome.RECORDED, Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.REJECTED
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
USAGE = "SELECT * FROM transactions WHERE reference_type = 'WORKFLOW'"
IN_JUNE = partial(datetime.fromisoformat, "2026-06-02T00:00:00Z")  # a clock
LETTERS = "SELECT * FROM dead_letters ORDER BY id"


@pytest.fixture(autouse=True)
def known(put_mandate: PutMandate) -> None:
    """The mandates `acme` and `other` are known, with the users ada and bob."""
    put_mandate("acme", users=["ada", "bob"])
    put_mandate("other", users=["ada", "bob"])


@pytest.mark.parametrize("batches", [[10], [1] * 10, [5, 5], [1, 9]])
def test_copies_are_duplicates_however_they_are_split(batches: list[int], record: Record, rows: Rows, balances: Balances) -> None:
    """Ten copies, in one batch or in many: one recorded, nine duplicates, one debit."""
    fields = event(price_chf="1")
    outcomes = [outcome for size in batches for outcome in record(*[fields] * size).outcomes]
    assert outcomes == [RECORDED] + [DUPLICATE] * 9
    assert len(rows(USAGE)) == len(rows("SELECT * FROM event_keys")) == 1
    assert balances() == {("acme", "ada"): Decimal(9)}
    assert rows(LETTERS) == []


def test_a_copy_in_another_spelling_is_a_duplicate(record: Record) -> None:
    """Aliases, order, envelope, description, schema version and spelling of price and time don't matter."""
    fields = event(price_chf="1.5", occurred_at="2026-06-01T12:00:00+02:00", description="one")
    spelled = {
        "specversion": "1.0",
        "id": fields["event_id"],
        "time": "2026-06-01T10:00:00.0Z",
        "data": {"priceCHF": 1.50, "userId": "ada", "mandateId": "acme", "description": "other", "schema_version": 1},
    }
    assert record(fields, spelled, clock=IN_JUNE).outcomes == [RECORDED, DUPLICATE]


def test_a_duplicate_keeps_the_first_description(record: Record, rows: Rows) -> None:
    """What is recorded stays as it was first told."""
    fields = event(description="one")
    record(fields, {**fields, "description": "other"})
    record({**fields, "description": "third"})
    assert [row["description"] for row in rows(USAGE)] == ["one"]


def test_the_same_id_in_another_mandate_is_another_event(record: Record, balances: Balances) -> None:
    """Event ids are unique per mandate."""
    one, other = (event(event_id="same", mandate_id=mandate, price_chf="1") for mandate in ("acme", "other"))
    assert record(one, other).outcomes == [RECORDED, RECORDED]
    assert record(other, one).outcomes == [DUPLICATE, DUPLICATE]
    assert balances() == {("acme", "ada"): Decimal(9), ("other", "ada"): Decimal(9)}


@pytest.mark.parametrize("together", [True, False])
def test_a_second_payload_is_a_conflict_and_never_moves_money(together: bool, record: Record, rows: Rows, balances: Balances) -> None:
    """The first stays and is charged; the second is a dead letter with mandate, event id, hash and the difference."""
    first = event(price_chf="1", model="a")
    second = event(**{**first, "price_chf": "2", "model": ...})
    outcomes = record(first, second).outcomes if together else record(first).outcomes + record(second).outcomes
    assert outcomes == [RECORDED, CONFLICT]
    (letter,) = rows(LETTERS)
    assert letter["difference"] == {"model": ["a", None], "price_chf": ["1.000000000", "2.000000000"]}
    assert (letter["reason"], letter["mandate_id"], letter["event_id"]) == ("conflict", "acme", first["event_id"])
    assert (bytes(letter["body"]), bytes(letter["payload_hash"])) == (body_of(second), payload_hash(parsed(second)))
    assert all(name in letter["detail"] for name in ("model", "price_chf"))
    assert balances() == {("acme", "ada"): Decimal(9)}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("user_id", ["bob", "stranger"])
def test_a_conflict_opens_no_account_and_makes_no_grant(together: bool, user_id: str, record: Record, rows: Rows, balances: Balances) -> None:
    """A payload that is not recorded leaves nothing behind for its user: no account, no credit, nothing due."""
    first = event(price_chf="1")
    second = {**first, "user_id": user_id}
    for batch in [[first, second]] if together else [[first], [second]]:
        record(*batch)
    assert balances() == {("acme", "ada"): Decimal(9)}
    assert len(rows("SELECT * FROM transactions WHERE reference_type = 'SYSTEM'")) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("occurred_at", (OCCURRED_AT - timedelta(microseconds=1)).isoformat()), ("workflow_id", "w"), ("usage", {"input_tokens": 0}), ("provider", "")],
    ids=["occurred_at", "workflow_id", "usage", "provider"],
)
def test_each_billed_field_makes_a_conflict(name: str, value: object, record: Record, rows: Rows) -> None:
    """A difference in any billed field counts, and is told alone."""
    first = event()
    assert record(first).outcomes == [RECORDED]
    assert record({**first, name: value}).outcomes == [CONFLICT]
    assert list(rows(LETTERS)[0]["difference"]) == ["input_tokens" if name == "usage" else name]


def test_many_payloads_under_one_key(record: Record, rows: Rows, balances: Balances) -> None:
    """The first of a batch wins; copies of it are duplicates, each other payload is a dead letter once."""
    first = event(price_chf="1")
    second, third = {**first, "price_chf": "2"}, {**first, "price_chf": "3"}
    assert record(first, second, first, third, second).outcomes == [RECORDED, CONFLICT, DUPLICATE, CONFLICT, CONFLICT]
    assert record(third, first, second).outcomes == [CONFLICT, DUPLICATE, CONFLICT]
    assert [(bytes(row["body"]), row["attempts"]) for row in rows(LETTERS)] == sorted(
        [(body_of(second), 3), (body_of(third), 2)], key=lambda letter: [bytes(row["body"]) for row in rows(LETTERS)].index(letter[0])
    )
    assert balances() == {("acme", "ada"): Decimal(9)}


def test_the_first_of_a_conflict_is_told_as_it_was_recorded(record: Record, rows: Rows) -> None:
    """The difference is against the transaction, in the same notation as the new one."""
    first = event(price_chf="0.000000001", occurred_at="2026-06-01T12:00:00.000001+14:00", usage={"output_tokens": 2**53 - 1})
    record(first, clock=IN_JUNE)
    record({**first, "price_chf": "0.000000002", "occurred_at": "2026-06-01T12:00:00Z", "usage": {}}, clock=IN_JUNE)
    assert rows(LETTERS)[0]["difference"] == {
        "occurred_at": ["2026-05-31T22:00:00.000001+00:00", "2026-06-01T12:00:00.000000+00:00"],
        "output_tokens": [2**53 - 1, None],
        "price_chf": ["0.000000001", "0.000000002"],
    }


def test_a_late_event_that_nobody_saw_is_rejected(record: Record, rows: Rows) -> None:
    """Older than the lateness: a dead letter `too_late` with its bytes, and no key, so that an operator may replay it."""
    fields = event(occurred_at=(NOW - timedelta(days=400, seconds=1)).isoformat())
    assert record(fields, fields, clock=lambda: NOW).reasons == {"too_late": 2}
    (letter,) = rows(LETTERS)
    assert (letter["reason"], bytes(letter["body"]), letter["attempts"], letter["event_id"]) == ("too_late", body_of(fields), 2, fields["event_id"])
    assert "400 days" in letter["detail"]
    assert rows("SELECT * FROM event_keys") == []


def test_the_lateness_itself_is_not_late(record: Record, make_config: Callable[..., Configuration]) -> None:
    """Exactly as old as allowed is allowed; the limit is configured in days."""
    edge = NOW - timedelta(days=30)
    config = make_config(lateness_days=30)
    assert record(event(occurred_at=edge.isoformat()), clock=lambda: NOW, config=config).outcomes == [RECORDED]
    before = event(occurred_at=(edge - timedelta(microseconds=1)).isoformat())
    assert record(before, clock=lambda: NOW, config=config).outcomes == [REJECTED]


def test_a_copy_of_a_recorded_event_is_a_duplicate_however_old(record: Record, rows: Rows) -> None:
    """Years later a copy is a duplicate, another payload a conflict, and an unseen event of the same age too late."""
    fields = event()
    record(fields)
    later = {"clock": lambda: NOW + timedelta(days=3650)}
    result = record(fields, {**fields, "price_chf": "9"}, event(), **later)  # type: ignore[arg-type]
    assert result.outcomes == [DUPLICATE, CONFLICT, REJECTED]
    assert result.reasons == {"conflict": 1, "too_late": 1}
    assert len(rows(USAGE)) == 1


def test_a_late_payload_and_a_timely_one_under_one_key(record: Record, rows: Rows) -> None:
    """The late one is too late, the timely one is recorded, in either order and in one batch."""
    for number in range(2):
        timely = event(event_id=f"e{number}")
        late = {**timely, "occurred_at": (NOW - timedelta(days=500)).isoformat()}
        batch = [timely, late] if number else [late, timely]
        assert sorted(record(*batch).outcomes) == [RECORDED, REJECTED]
    assert len(rows(USAGE)) == 2


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(minutes=5)])
def test_a_producers_clock_may_be_five_minutes_ahead(ahead: timedelta, record: Record) -> None:
    """Up to five minutes the event is recorded; a microsecond more is `future`."""
    assert record(event(occurred_at=(NOW + ahead).isoformat()), clock=lambda: NOW).outcomes == [RECORDED]
    beyond = event(occurred_at=(NOW + timedelta(minutes=5, microseconds=1)).isoformat())
    assert record(beyond, clock=lambda: NOW).reasons == {"future": 1}


@pytest.mark.parametrize("copies", ["recorded", "parked"])
def test_a_known_key_comes_before_any_clock(copies: str, record: Record, rows: Rows) -> None:
    """To a worker whose clock is a day slow, copies of what is recorded or parked are no events of the future; what nobody has seen is one."""
    fields = event(mandate_id="acme" if copies == "recorded" else "nobody")
    record(fields)
    slow = {"clock": lambda: NOW - timedelta(days=1)}
    unseen = event(mandate_id=fields["mandate_id"])
    result = record(fields, {**fields, "price_chf": "9"}, unseen, **slow)  # type: ignore[arg-type]
    assert result.outcomes == [DUPLICATE, CONFLICT, REJECTED]
    assert result.reasons == {"conflict": 1, "future": 1}
    (letter,) = rows("SELECT * FROM dead_letters WHERE reason = 'future'")
    assert (letter["mandate_id"], letter["event_id"]) == (unseen["mandate_id"], unseen["event_id"])
    ends = [{**fields, "occurred_at": moment} for moment in ("9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.0000009Z")]
    assert record(*ends).outcomes == [CONFLICT, CONFLICT]


def test_a_future_payload_and_a_present_one_under_one_key(record: Record, rows: Rows) -> None:
    """The present one is recorded, the other refused for its time, in either order and in one batch."""
    for number in range(2):
        present = event(event_id=f"e{number}")
        ahead = {**present, "occurred_at": (NOW + timedelta(days=1)).isoformat()}
        batch = [present, ahead] if number else [ahead, present]
        assert sorted(record(*batch).outcomes) == [RECORDED, REJECTED]
    assert len(rows(USAGE)) == 2


@pytest.mark.parametrize("days", [-500, 1], ids=["too late", "future"])
def test_a_refused_event_opens_nothing(days: int, record: Record, rows: Rows) -> None:
    """Neither the settings of its mandate, which the directory knows, nor an account."""
    assert record(event(occurred_at=(NOW + timedelta(days=days)).isoformat())).outcomes == [REJECTED]
    for table in ("billing_settings", "billing_settings_history", "accounts", "operation_keys"):
        assert rows(f"SELECT FROM {table}") == []


def test_copies_of_what_is_parked_open_nothing(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """Once its mandate is known, a copy of a parked event is a duplicate or a conflict; settings and accounts come with the release."""
    fields = event(mandate_id="later")
    record(fields)
    put_mandate("later", users=["ada", "bob"])
    assert record(fields, {**fields, "user_id": "bob"}).outcomes == [DUPLICATE, CONFLICT]
    for table in ("billing_settings", "accounts"):
        assert rows(f"SELECT FROM {table}") == []


# The fraction of one moment's second, exactly, and cut off at microseconds or rounded to them.
EXACT, CUT_OFF, ROUNDED_UP = ".123456789", ".123456", ".123457"
SAME = [(EXACT, CUT_OFF), (EXACT, ROUNDED_UP), (".1234565", ROUNDED_UP), (".99999999", ".999999"), (".123459999999", ".12346"), (EXACT, ".123457000")]
OTHER = [
    *[(ROUNDED_UP, ".123456489"), (ROUNDED_UP, ".1234564"), (ROUNDED_UP, CUT_OFF), (CUT_OFF, ".123457001")],
    *[(EXACT, ".123458"), (EXACT, ".123455"), (CUT_OFF, ".123455"), (".1", ".1001")],
]


@pytest.mark.parametrize("mandate", ["acme", "nobody"], ids=["recorded", "parked"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        *[(*pair, DUPLICATE) for pair in SAME],
        *[(*pair[::-1], DUPLICATE) for pair in SAME],
        (CUT_OFF, ROUNDED_UP, DUPLICATE),  # of the first only the microseconds are kept, so that it may have had more digits
        (".1234576", EXACT, DUPLICATE),  # or none
        *[(*pair, CONFLICT) for pair in OTHER],
    ],
)
def test_a_moment_rounded_to_microseconds_is_the_one_cut_off_there(
    first: str, second: str, outcome: Outcome, together: bool, mandate: str, record: Record, rows: Rows
) -> None:
    """An outbox that keeps six decimals may round or cut off the ones beyond: the copy is a duplicate, whichever comes first."""
    fields = event(mandate_id=mandate)
    one, other = ({**fields, "occurred_at": f"2026-06-01T12:00:00{digits}Z"} for digits in (first, second))
    clock = lambda: datetime(2026, 6, 1, 13, tzinfo=UTC)  # noqa: E731
    outcomes = [result for batch in ([[one, other]] if together else [[one], [other]]) for result in record(*batch, clock=clock).outcomes]
    assert outcomes[1] == outcome
    assert len(rows(LETTERS)) == (outcome is CONFLICT)


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999+00:00"])
def test_the_far_future_is_rejected(moment: str, record: Record) -> None:
    """The last moment of the calendar overflows nothing."""
    assert record(event(occurred_at=moment)).reasons == {"future": 1}


def test_the_far_past_is_too_late(record: Record) -> None:
    """The first moment of the calendar overflows nothing."""
    assert record(event(occurred_at="0001-01-01T00:00:00Z"), event(occurred_at="0001-01-01T14:00:00+14:00")).reasons == {"too_late": 2}


def test_a_conflict_with_an_archived_event_is_still_a_conflict(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """Where the first transaction was moved away, its key still refuses another payload, and says that the first is not at hand."""
    put_mandate(users=["ada"])
    one = event()
    record(one)
    rows("DELETE FROM transactions WHERE event_id = :event_id", event_id=one["event_id"])
    assert record({**one, "price_chf": "7"}, one).outcomes == [CONFLICT, DUPLICATE]
    (letter,) = rows("SELECT detail, difference FROM dead_letters")
    assert letter == {"detail": "same event id, other payload; the first is not at hand", "difference": None}
