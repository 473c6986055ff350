"""The judges of a torture run find nothing in true books, and each of them what was tampered with."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from lab.oracle.torture import Expectation, Findings, judge_events

Row = dict[str, Any]
Tamper = Callable[["Books"], object]
UNIT = Decimal("0.000000001")
DIALECT = {
    "price_chf": None,
    "provider": "openai",
    "model": "large",
    "usage_dialect": "openai.chat",
    "service_tier": "flex",
    "hold_key": "h1",
    "usage": {"prompt_tokens": 5, "details": {"cached": 2}},
}
BROKEN, ODD = '{"event_id": "bad-1", "price_chf"', '{"event_id": "bad-2", "price_chf": -1}'


def event(event_id: str, **changes: Any) -> Row:
    """An event as a producer writes it."""
    own = {"mandate_id": "m", "event_id": event_id, "user_id": "ada", "price_chf": "0.5", "occurred_at": "2026-03-01T12:00:00+01:00"}
    return {name: value for name, value in {**own, "usage": {"input_tokens": 7, "output_tokens": 3}, **changes}.items() if value is not None}


def debit(sent: Row, **changes: Any) -> Row:
    """The ledger's entry for it."""
    usage, dialect, price = sent["usage"], sent.get("usage_dialect"), sent.get("price_chf")
    return {
        **{name: sent[name] for name in ("mandate_id", "event_id", "user_id")},
        **{name: sent.get(name) for name in ("provider", "model", "feature_code", "usage_dialect", "service_tier", "hold_key")},
        "price_sent": None if price is None else Decimal(price).quantize(UNIT),
        "occurred_at": datetime.fromisoformat(sent["occurred_at"]).astimezone(UTC),
        "input_tokens": None if dialect else usage["input_tokens"],
        "output_tokens": None if dialect else usage["output_tokens"],
        "shape": '{"prompt_tokens": %s, "details": {"cached": %s}}' if dialect else None,
        "usage_values": "5\n2" if dialect else None,
        **changes,
    }


def conflict(sent: Row) -> Row:
    """The dead letter of another content of a key."""
    return {"reason": "conflict", "mandate_id": sent["mandate_id"], "event_id": sent["event_id"], "body": json.dumps(sent).encode()}


def refused(body: str, reason: str) -> Row:
    """The dead letter of what is no event."""
    return {"reason": reason, "mandate_id": None, "event_id": None, "body": body.encode()}


@dataclass
class Books:
    """What was sent, and what is in the books; at first what must be."""

    sent: Expectation = field(default_factory=Expectation)
    debits: list[Row] = field(default_factory=list)
    parked: list[Row] = field(default_factory=list)
    letters: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        plain, rated, other = event("plain", price_chf="0.0000000025"), event("rated", **DIALECT), event("twofold", price_chf="2")
        for told in (plain, plain, rated, event("twofold"), other):
            self.sent.deliver(json.dumps(told), sure=True)
        for told in (event("absent"), event("present"), event("twofold", price_chf="3")):
            self.sent.deliver(json.dumps(told), sure=False)
        self.sent.refuse(BROKEN, "malformed_json", sure=True)
        self.sent.refuse(ODD, "invalid_field", sure=True)
        self.sent.refuse("bad-3", "malformed_json", sure=False)
        self.debits += [debit(plain), debit(rated), debit(event("twofold")), debit(event("present"))]
        self.letters += [conflict(other), refused(BROKEN, "malformed_json"), refused(ODD.replace(" ", ""), "invalid_field")]

    def findings(self) -> Findings:
        """What the judge says."""
        return judge_events(self.sent, self.debits, self.parked, self.letters)

    def of(self, event_id: str) -> Row:
        """The entry of an event."""
        return next(one for one in self.debits if one["event_id"] == event_id)

    def change(self, event_id: str, **changes: Any) -> None:
        """Its entry says something else."""
        self.of(event_id).update(changes)


TAMPERED: dict[str, tuple[Tamper, str, str]] = {
    "lost": (lambda books: books.debits.remove(books.of("plain")), "lost", "('m', 'plain') is not recorded"),
    "doubled": (lambda books: books.debits.append(books.of("plain")), "doubled", "('m', 'plain') is recorded twice"),
    "of nobody": (lambda books: books.debits.append(debit(event("stray"))), "doubled", "('m', 'stray') is recorded, and nobody sent it"),
    "of another mandate": (
        lambda books: books.debits.append(debit(event("plain", mandate_id="n"))),
        "doubled",
        "('n', 'plain') is recorded, and nobody",
    ),
    "still parked": (
        lambda books: books.parked.append({"mandate_id": "m", "event_id": "absent", "reason": "unknown_mandate"}),
        "lost",
        "event absent of m is still parked: unknown_mandate",
    ),
    "a conflict without its letter": (lambda books: books.letters.pop(0), "lost", "('m', 'twofold') was also sent as"),
    "the letter of the other content only": (
        lambda books: books.letters.__setitem__(0, conflict(event("twofold", price_chf="3"))),
        "lost",
        "('m', 'twofold') was also sent as",
    ),
    "a conflict of nobody": (lambda books: books.letters.append(conflict(event("stray"))), "doubled", "('m', 'stray') has a conflict, and nobody"),
    "a conflict that was never sent": (
        lambda books: books.letters.append(conflict(event("twofold", price_chf="9"))),
        "drifted",
        "('m', 'twofold') has a conflict",
    ),
    "a conflict with itself": (lambda books: books.letters.append(conflict(event("present"))), "drifted", "('m', 'present') has a conflict"),
    "an event refused": (
        lambda books: books.letters.append(refused(json.dumps(event("plain")), "future")),
        "lost",
        'refused as future: b\'{"mandate_id": "m", "event_id": "plain"',
    ),
    "garbage refused twice": (lambda books: books.letters.append(refused(BROKEN, "malformed_json")), "doubled", "b'bad-1' is refused twice"),
    "garbage for another reason": (
        lambda books: books.letters[1].update(reason="too_deep"),
        "drifted",
        "b'bad-1' is refused as too_deep, and should be as malformed_json",
    ),
    "garbage with other bytes": (lambda books: books.letters[1].update(body=BROKEN.encode() + b":"), "drifted", "b'bad-1' is kept as b'{"),
    "garbage that says something else": (
        lambda books: books.letters[2].update(body=ODD.replace(": -1", ": -2").encode()),
        "drifted",
        "b'bad-2' is kept as b'{",
    ),
    "garbage that is missing": (lambda books: books.letters.pop(1), "lost", "b'bad-1' is no dead letter, and should be one for malformed_json"),
    "garbage of nobody": (
        lambda books: books.letters.append(refused("bad-9", "malformed_json")),
        "doubled",
        "b'bad-9' was refused, and nobody sent it",
    ),
    "a maybe of garbage for another reason": (lambda books: books.letters.append(refused("bad-3", "too_deep")), "drifted", "b'bad-3' is refused as"),
}


CHANGED: tuple[tuple[str, Row], ...] = (
    ("plain", {"price_sent": Decimal("0.000000003")}),
    ("plain", {"price_sent": None}),
    ("plain", {"user_id": "bob"}),
    ("plain", {"occurred_at": datetime(2026, 3, 1, 12, tzinfo=UTC)}),
    ("plain", {"input_tokens": 8}),
    ("plain", {"output_tokens": None}),
    ("rated", {"price_sent": Decimal(0)}),
    ("rated", {"provider": "other"}),
    ("rated", {"model": None}),
    ("rated", {"feature_code": "chat"}),
    ("rated", {"usage_dialect": "openai.responses"}),
    ("rated", {"service_tier": None}),
    ("rated", {"hold_key": "h2"}),
    ("rated", {"usage_values": "5\n3"}),
    ("rated", {"shape": '{"prompt_tokens": %s, "cached": %s}'}),
    ("rated", {"shape": None}),
    ("present", {"price_sent": Decimal(7)}),  # what may or may not have come can't have come otherwise
)


def test_true_books_have_nothing_wrong() -> None:
    """Copies, usage with and without an object, a conflict with its letter, garbage in the client's own spelling: all is right."""
    assert Books().findings().all == []


@pytest.mark.parametrize("tampered", TAMPERED)
def test_tampering_with_what_was_recorded_is_told(tampered: str) -> None:
    """As what it is, lost, doubled or drifted, with the key."""
    tamper, kind, says = TAMPERED[tampered]
    books = Books()
    tamper(books)
    said = getattr(books.findings(), kind)
    assert any(says in one for one in said), books.findings()


@pytest.mark.parametrize(("event_id", "changes"), CHANGED, ids=str)
def test_what_is_recorded_otherwise_than_it_was_sent_is_told(event_id: str, changes: Row) -> None:
    """In whatever column it is."""
    books = Books()
    books.change(event_id, **changes)
    said = books.findings()
    assert f"('m', '{event_id}') is recorded as" in said.drifted[0]
    assert said.doubled == []


MAYBES: dict[str, Tamper] = {
    "the event came": lambda books: books.debits.append(debit(event("absent"))),
    "the event did not come": lambda books: books.debits.remove(books.of("present")),
    "the other content came": lambda books: books.letters.append(conflict(event("twofold", price_chf="3"))),
    "the garbage came": lambda books: books.letters.append(refused("bad-3", "malformed_json")),
}


def test_of_two_contents_either_may_have_come_first() -> None:
    """The other one has the letter."""
    books = Books()
    books.change("twofold", price_sent=Decimal(3))
    books.letters.append(conflict(event("twofold")))
    assert books.findings().all == []


@pytest.mark.parametrize("maybe", MAYBES)
def test_what_may_have_arrived_is_right_either_way(maybe: str) -> None:
    """Whether it is in the books or not."""
    books = Books()
    MAYBES[maybe](books)
    assert books.findings().all == []


def test_a_key_sent_only_as_a_maybe_is_sure_once_it_certainly_arrived() -> None:
    """A repetition that is confirmed makes the event sure, and one that isn't confirmed leaves it so."""
    books = Books()
    books.sent.deliver(json.dumps(event("absent")), sure=True)
    books.sent.deliver(json.dumps(event("absent")), sure=False)
    assert books.findings().lost == ["('m', 'absent') is not recorded"]


def test_what_was_sent_is_counted() -> None:
    """Deliveries that certainly arrived with what is no event, those of which nobody knows, and copies beyond the first of each key."""
    sent = Expectation()
    for sure in (True, True, True, False):
        sent.deliver(json.dumps(event("plain")), sure=sure)
    sent.deliver(json.dumps(event("unknown")), sure=False)
    sent.refuse(BROKEN, "malformed_json", sure=True)
    assert (sent.events, sent.good, sent.maybe, sent.copies) == (4, 3, 2, 2)
