"""A producer's journal beside the books: what became of each line."""

import json
from collections.abc import Callable

import pytest

from core.asking.rights import ROOT, administrator
from core.database.database import Database
from core.errors import Forbidden
from core.reports import compare as comparing
from core.reports.compare import ComparedLine, compare_events
from tests.conftest import Record, Rows
from tests.sample_events import body_of, event
from tests.scene import PutSettings

Compare = Callable[..., list[ComparedLine]]


@pytest.fixture
def compare(database: Database) -> Compare:
    """Compares lines, events or bytes, with the books."""

    def call(*lines: dict[str, object] | bytes) -> list[ComparedLine]:
        bodies = [line if isinstance(line, bytes) else body_of(line) for line in lines]
        return list(compare_events(database, ROOT, enumerate(bodies, 1)))

    return call


def standings(lines: list[ComparedLine]) -> list[str]:
    """What each line is."""
    return [line.standing.value for line in lines]


@pytest.mark.parametrize("at_once", [1, 3, 1_000])
def test_each_line_is_told_what_it_is(
    at_once: int, compare: Compare, record: Record, put_settings: PutSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded, repeated in the file, in conflict, parked, refused, never arrived, no event; however many lines are looked up together."""
    monkeypatch.setattr(comparing, "LINES_MAX", at_once)
    put_settings(users=["ada"])
    recorded, parked, wrong, missing = event(), event(mandate_id="stranger"), event(price_chf="-1"), event()
    usage = {"usage_dialect": "openai.chat", "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
    told = event(**usage, producer_id="p1", producer_seq=7)
    record(recorded, parked, wrong, b"{", told)
    lines = compare(
        *(recorded, recorded, recorded | {"price_chf": "9"}, parked, parked | {"price_chf": "9"}, wrong, missing, missing, b"{", b"[]"),
        *(told, told | {"producer_seq": 8}, event(price_chf="-1")),
    )
    assert standings(lines) == [
        *("recorded", "duplicate", "conflict", "parked", "conflict", "rejected", "missing", "duplicate", "rejected", "unreadable"),
        *("recorded", "duplicate", "unreadable"),
    ]
    assert [line.number for line in lines] == list(range(1, 14))
    assert lines[2].difference == {"price_chf": ["0.250000000", "9.000000000"]}
    assert lines[4].difference == {"price_chf": ["0.250000000", "9.000000000"]}
    assert [lines[n].reason for n in (3, 5, 8, 12)] == ["unknown_mandate", "invalid_field", "malformed_json", "invalid_field"]
    assert lines[5].dead_letter_id is not None
    assert (lines[6].mandate_id, lines[6].event_id, lines[6].body) == ("acme", missing["event_id"], body_of(missing))


def test_other_bytes_of_the_same_event_are_found(compare: Compare, record: Record, put_settings: PutSettings) -> None:
    """By what is billed, where it is recorded; by its ids, where it is a dead letter."""
    put_settings(users=["ada"])
    recorded, wrong = event(), event(price_chf="-1")
    record(recorded, wrong)
    spaced = [json.dumps(one, indent=1).replace("\n", " ").encode() for one in (recorded, wrong)]
    assert standings(compare(*spaced)) == ["recorded", "rejected"]


def test_a_letter_that_was_decided_says_so(compare: Compare, record: Record, put_settings: PutSettings, rows: Rows) -> None:
    """A discarded one stays rejected; the payload of an accepted conflict is what the books have."""
    put_settings(users=["ada"])
    first, discarded = event(), event(price_chf="-1")
    second = first | {"price_chf": "9"}
    record(first, second, discarded)
    rows("UPDATE dead_letters SET status = CASE reason WHEN 'conflict' THEN 'ACCEPTED' ELSE 'DISCARDED' END, resolved_at = now()")
    lines = compare(second, discarded)
    assert standings(lines) == ["recorded", "rejected"]
    assert str(lines[1].detail).startswith("DISCARDED: ")


def test_nobody_but_root_compares(database: Database) -> None:
    """Whoever could ask for any event would see other mandates'."""
    with pytest.raises(Forbidden):
        compare_events(database, administrator("acme"), [(1, b"{}")])
