"""Dead letters: each unusable message exactly once, whole, with its reason; and its neighbours unharmed."""

import hashlib
from collections.abc import Callable
from decimal import Decimal

import pytest

from core.events.outcome import Outcome
from core.events.parsing import RawEvent
from core.rejection import Reason, Rejection
from tests.conftest import Record, Row, Rows
from tests.sample_events import body_of, event
from tests.scene import PutAccount, PutMandate, PutSettings

RECORDED, DUPLICATE, REJECTED = Outcome.RECORDED, Outcome.DUPLICATE, Outcome.REJECTED
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]

_PLACE = b'"PLACE"'
HOSTILE = {
    "nothing": b"",
    "null bytes": b"\x00" * 50,
    "not UTF-8": b"\xff\xfe{}",
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07default\x94.",
    "deep": b"[" * 60_000,
    "too large": b" " * 100_000,
    "duplicate key": b'{"event_id":"a","event_id":"b"}',
    "lone surrogate": body_of(event(model="PLACE")).replace(_PLACE, rb'"\ud800"'),
    "escaped NUL": body_of(event(model="PLACE")).replace(_PLACE, rb'"\u0000"'),
    "NaN": body_of(event(price_chf="PLACE")).replace(_PLACE, b"NaN"),
    "huge exponent": body_of(event(price_chf="PLACE")).replace(_PLACE, b"1e400"),
    "2^64 tokens": body_of(event(usage={"input_tokens": 2**64})),
    "naive time": body_of(event(occurred_at="2026-01-01T00:00:00")),
    "unknown field": body_of({**event(), "cost": 1}),
    "line break and colour": body_of(event(user_id="x\r\n\x1b[31mforged line")),
}


def _letters(rows: Rows) -> list[Row]:
    return rows("SELECT * FROM dead_letters ORDER BY id")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_event_is_a_dead_letter_with_its_exact_bytes(name: str, record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """Reason, printable detail, origin and bytes are kept; the good events beside it are recorded."""
    put_mandate(users=["ada"])
    body = HOSTILE[name]
    assert record(event(), body, event(), origin="queue usage.json").outcomes == [RECORDED, REJECTED, RECORDED]
    (letter,) = _letters(rows)
    assert (bytes(letter["body"]), bytes(letter["body_sha256"]), letter["body_length"]) == (body, hashlib.sha256(body).digest(), len(body))
    assert (letter["origin"], letter["status"], letter["attempts"]) == ("queue usage.json", "OPEN", 1)
    assert letter["reason"] in set(Reason)
    assert letter["detail"].isascii()
    assert letter["detail"].isprintable()
    assert letter["batch_id"] == rows("SELECT id FROM batches")[0]["id"]


def test_a_redelivery_raises_the_attempts(record: Record, rows: Rows) -> None:
    """The same bytes are one dead letter, within a batch and across batches, with first and last time seen."""
    record(b"bad", b"worse", b"bad")
    record(b"bad")
    first, second = sorted(_letters(rows), key=lambda letter: bytes(letter["body"]))
    assert (first["attempts"], second["attempts"]) == (3, 1)
    assert first["first_seen_at"] < first["last_seen_at"]
    assert second["first_seen_at"] == second["last_seen_at"]


def test_a_redelivery_does_not_reopen_what_was_resolved(record: Record, rows: Rows) -> None:
    """An operator's word stands; the attempts still count."""
    record(b"bad")
    rows("UPDATE dead_letters SET status = 'DISCARDED', resolved_at = now(), resolved_by = 'op'")
    record(b"bad")
    assert [(letter["status"], letter["attempts"]) for letter in _letters(rows)] == [("DISCARDED", 2)]


@pytest.mark.parametrize(("length", "kept"), [(256 * 1024, 256 * 1024), (256 * 1024 + 1, 256 * 1024), (5_000_000, 256 * 1024)])
def test_a_very_large_message_is_kept_in_part(length: int, kept: int, record: Record, rows: Rows) -> None:
    """Over 256 KiB the first 256 KiB stay, with the hash and the length of the whole."""
    body = b"0123456789abcdef" * (length // 16) + b"x" * (length % 16)
    assert record(body).reasons == {"event_too_large": 1}
    (letter,) = _letters(rows)
    assert (bytes(letter["body"]), letter["body_length"], bytes(letter["body_sha256"])) == (body[:kept], length, hashlib.sha256(body).digest())


def test_large_messages_that_differ_at_their_end_are_two(record: Record, rows: Rows) -> None:
    """Identity is the hash of the whole."""
    record(b"x" * 300_000 + b"1", b"x" * 300_000 + b"2")
    assert len(_letters(rows)) == 2


def test_what_the_intake_found_defective_is_kept_for_that_reason(record: Record, rows: Rows) -> None:
    """A message of an unknown task never is an event; its bytes and the reason are kept."""
    defect = Rejection(Reason.UNKNOWN_TASK, "task 'os.system' is not known")
    result = record(RawEvent(body_of(event()), "queue usage", typed_json=True, defect=defect))
    assert result.reasons == {"unknown_task": 1}
    (letter,) = _letters(rows)
    assert (letter["reason"], letter["detail"], letter["typed_json"]) == ("unknown_task", "task 'os.system' is not known", True)


def test_ids_are_there_where_the_event_could_be_read(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """A late event names its mandate and its id; nonsense names none."""
    put_mandate()
    record(event(event_id="e", occurred_at="2020-01-01T00:00:00Z"), b"bad")
    late, bad = sorted(_letters(rows), key=lambda letter: str(letter["reason"]), reverse=True)
    assert (late["mandate_id"], late["event_id"], len(bytes(late["payload_hash"]))) == ("acme", "e", 32)
    assert (bad["mandate_id"], bad["event_id"], bad["payload_hash"]) == (None, None, None)


@pytest.fixture
def brink(put_settings: PutSettings, put_account: PutAccount, rows: Rows) -> Callable[..., dict[str, object]]:
    """A mandate `brink` whose pool the database lets fall by half a franc and no further; gives events of it."""
    from core.billing import BillingModel

    put_settings("acme", users=["ada"])
    put_settings("brink", BillingModel.CREDIT_POSTPAY, users=["ada"])
    put_account(None, mandate_id="brink")
    rows("ALTER TABLE accounts ADD CONSTRAINT brink CHECK (mandate_id <> 'brink' OR balance >= -0.5)")
    return lambda **fields: event(mandate_id="brink", **{"price_chf": "1", **fields})


@pytest.mark.parametrize("place", [0, 249, 499])
def test_one_event_that_the_database_refuses_does_not_harm_499_others(
    place: int, record: Record, rows: Rows, brink: Callable[..., dict[str, object]], balances: Balances
) -> None:
    """The batch is halved around the bad event: 499 recorded, one dead letter `data_error`, in one transaction and one batch row."""
    batch = [event(price_chf="0.01") for _ in range(499)]
    bad = brink()
    batch.insert(place, bad)
    result = record(*batch)
    assert (result.counts()[RECORDED], result.reasons, result.outcomes[place]) == (499, {"data_error": 1}, REJECTED)
    (letter,) = _letters(rows)
    assert (letter["reason"], bytes(letter["body"]), letter["event_id"], letter["mandate_id"]) == (
        "data_error",
        body_of(bad),
        bad["event_id"],
        "brink",
    )
    assert "23514" in letter["detail"]
    assert [(row["recorded"], row["rejected"]) for row in rows("SELECT recorded, rejected FROM batches")] == [(499, 1)]
    assert balances()["acme", "ada"] == Decimal("5.01")
    assert balances()["brink", None] == 0
    assert rows("SELECT * FROM event_keys WHERE mandate_id = 'brink'") == []


def test_an_event_that_the_database_refused_is_recorded_once_there_is_room(
    record: Record, rows: Rows, brink: Callable[..., dict[str, object]]
) -> None:
    """A dead letter leaves no key behind: the same event, delivered again, is recorded."""
    bad = brink()
    assert record(bad, event()).outcomes == [REJECTED, RECORDED]
    rows("ALTER TABLE accounts DROP CONSTRAINT brink")
    assert record(bad).outcomes == [RECORDED]
    assert record(bad).outcomes == [DUPLICATE]


def test_several_refused_events_among_good_ones(record: Record, rows: Rows, brink: Callable[..., dict[str, object]]) -> None:
    """Each bad one stands alone in the end; what the same account can still bear is recorded, copies and strangers included."""
    good = [brink(price_chf="0.1"), brink(price_chf="0")]
    bad = [brink(price_chf="5"), brink(price_chf="0.6")]
    result = record(bad[0], good[0], bad[1], b"nonsense", good[1], good[0], bad[0], event(mandate_id="nobody"))
    names = ["rejected", "recorded", "rejected", "rejected", "recorded", "duplicate", "rejected", "parked"]
    assert [outcome.value for outcome in result.outcomes] == names
    assert result.reasons == {"data_error": 3, "malformed_json": 1}
    assert sorted((letter["reason"], letter["attempts"]) for letter in _letters(rows)) == [
        ("data_error", 1),
        ("data_error", 2),
        ("malformed_json", 1),
    ]
    assert len(rows("SELECT * FROM batches")) == 1


def test_accounts_and_grants_survive_a_halved_batch(record: Record, rows: Rows, brink: Callable[..., dict[str, object]], balances: Balances) -> None:
    """Accounts that are opened beside a refused event exist once, with one grant, and are usable by the next batch."""
    rows("INSERT INTO directory_memberships (user_id, mandate_id) VALUES ('bob', 'acme')")
    users = ["ada", "bob", "eve"] * 4
    batch = [event(user_id=user, price_chf="1") for user in users]
    record(*batch[:6], brink(), *batch[6:], brink(user_id="eve"))
    assert record(*[event(user_id=user, price_chf="1") for user in users]).counts()[RECORDED] == 12
    assert len(rows("SELECT * FROM transactions WHERE reference_type = 'SYSTEM'")) == 2
    assert {user: balances()["acme", user] for user in ("ada", "bob", "eve")} == {"ada": Decimal(2), "bob": Decimal(2), "eve": Decimal(-8)}
    wrong = """
        SELECT a.id FROM accounts a LEFT JOIN transactions t ON t.balance_account_id = a.id WHERE a.mandate_id = 'acme'
         GROUP BY a.id HAVING a.balance <> coalesce(sum(CASE t.transaction_type WHEN 'DEBIT' THEN -t.amount ELSE t.amount END), 0)
    """
    assert rows(wrong) == []


def test_details_of_the_database_are_one_line_of_ascii(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """A message of PostgreSQL with other characters and line breaks becomes one printable line."""
    put_mandate(users=["ada"])
    rows("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION E'nicht \u00fc\\x1b[31m möglich\\nzweite Zeile' USING ERRCODE = '22000'; END $$
    """)
    rows("CREATE TRIGGER refuse BEFORE INSERT ON transactions FOR EACH ROW WHEN (NEW.model = 'bad') EXECUTE FUNCTION refuse()")
    assert record(event(model="bad"), event()).outcomes == [REJECTED, RECORDED]
    (letter,) = _letters(rows)
    assert letter["detail"].isascii()
    assert letter["detail"].isprintable()


def test_a_dead_letter_names_mandate_and_event_where_they_can_be_read(record: Record, rows: Rows) -> None:
    """An event refused for its price still tells whose it is; one without a usable id does not invent any."""
    record(event(price_chf="-1", event_id="e1"), event(price_chf="-1", event_id="e\n2", mandate_id=5))
    assert {(letter["mandate_id"], letter["event_id"]) for letter in _letters(rows)} == {("acme", "e1"), (None, None)}
