"""Corrected dead letters: recorded as any event, once, with both texts and whose word it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.dead_letters.correct import Correcting, Correction, correct_dead_letter
from core.errors import NotFound, RequestRefused
from core.events.outcome import Outcome
from core.housekeeping.erase_user import erase_user
from tests.books.threads import at_once
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import body_of, event
from tests.scene import Breaches, PutSettings

__all__ = ["run"]

LETTER = "SELECT id, status, body, corrected_body, mandate_id, event_id, resolved_by, resolution, attempts FROM dead_letters"
USAGE = "SELECT event_id, amount FROM transactions WHERE reference_type = 'WORKFLOW'"


@pytest.fixture
def how(config: Configuration) -> Correcting:
    """By olga's word."""
    return Correcting("olga", "a price without its point", config, "test")


@pytest.fixture
def wrong(put_settings: PutSettings, record: Record) -> dict[str, object]:
    """An event whose price is wrong, and which is a dead letter."""
    put_settings(users=["ada"])
    wrong = event(event_id="e1", price_chf="-1")
    record(wrong)
    return wrong


def letter(rows: Rows) -> dict[str, Any]:
    """The one dead letter."""
    (found,) = rows(LETTER)
    return found


def test_a_corrected_event_is_recorded_in_place_of_its_letter(
    wrong: dict[str, object], database: Database, how: Correcting, rows: Rows, breaches: Breaches
) -> None:
    """As any other; the letter keeps its own bytes, the corrected ones, who said so and why. The same again is the first one's result."""
    right = body_of({**wrong, "price_chf": "1"})
    letter_id = letter(rows)["id"]
    done = correct_dead_letter(database, ROOT, letter_id, b" " + right + b"\n", how)
    (written,) = rows("SELECT id, amount FROM transactions WHERE reference_type = 'WORKFLOW'")
    assert done == Correction(letter_id, "acme", "e1", Outcome.RECORDED, written["id"])
    found = letter(rows)
    assert (found["status"], bytes(found["body"]), bytes(found["corrected_body"])) == ("CORRECTED", body_of(wrong), right)
    assert (found["resolved_by"], found["resolution"]) == ("olga", "a price without its point")
    assert correct_dead_letter(database, ROOT, letter_id, right, how) == Correction(letter_id, "acme", "e1", Outcome.RECORDED, written["id"], True)
    assert len(rows(USAGE)) == 1
    assert breaches() == {}


def test_several_operators_at_once_correct_it_once(wrong: dict[str, object], database: Database, how: Correcting, rows: Rows) -> None:
    """The first one's correction stands; the same one again is told, another is refused."""
    right = body_of({**wrong, "price_chf": "1"})
    letter_id = letter(rows)["id"]
    done = at_once(*[lambda: correct_dead_letter(database, ROOT, letter_id, right, how)] * 4)
    assert sorted(one.repeated for one in done) == [False, True, True, True]
    with pytest.raises(RequestRefused, match="otherwise corrected"):
        correct_dead_letter(database, ROOT, letter_id, body_of({**wrong, "price_chf": "2"}), how)
    assert len(rows(USAGE)) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"price_chf": "-2"}, "is no event: invalid_field"),
        ({"event_id": "e2"}, "must stay"),
        ({"mandate_id": "globex"}, "must stay"),
        ({"occurred_at": "2020-01-01T00:00:00Z", "price_chf": "1"}, "is refused: too_late"),
    ],
)
def test_what_is_refused_changes_nothing(
    wrong: dict[str, object], change: dict[str, object], told: str, database: Database, how: Correcting, rows: Rows
) -> None:
    """An event that breaks the contract, is too late, or is another one: the letter is open as before, and nothing is recorded."""
    before = letter(rows)
    with pytest.raises(RequestRefused, match=told):
        correct_dead_letter(database, ROOT, before["id"], body_of({**wrong, "price_chf": "1", **change}), how)
    assert letter(rows) == before
    assert rows(USAGE) == []


def test_what_was_recorded_meanwhile_is_a_duplicate_and_other_billing_is_refused(
    wrong: dict[str, object], database: Database, how: Correcting, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """The producer sent it anew: a correction that says the same closes the letter, one that says something else doesn't."""
    right = {**wrong, "price_chf": "1"}
    record(right)
    letter_id = letter(rows)["id"]
    with pytest.raises(RequestRefused, match="conflict"):
        correct_dead_letter(database, ROOT, letter_id, body_of({**wrong, "price_chf": "2"}), how)
    assert correct_dead_letter(database, ROOT, letter_id, body_of(right), how).outcome is Outcome.DUPLICATE
    assert letter(rows)["status"] == "CORRECTED"
    assert breaches() == {}


def test_what_could_not_be_read_may_become_any_event(
    put_settings: PutSettings, database: Database, how: Correcting, record: Record, rows: Rows
) -> None:
    """Bytes that are no JSON name no event; afterwards the letter is found by the one that they became. The same bytes again stay corrected."""
    put_settings(users=["ada"])
    record(b'{"event_id": "e1"')
    done = correct_dead_letter(database, ROOT, letter(rows)["id"], body_of(event(event_id="e9")), how)
    assert (done.mandate_id, done.event_id, done.outcome) == ("acme", "e9", Outcome.RECORDED)
    record(b'{"event_id": "e1"')
    found = letter(rows)
    assert (found["status"], found["event_id"], found["attempts"]) == ("CORRECTED", "e9", 2)


def test_a_correction_of_a_mandate_that_is_not_known_is_parked(record: Record, database: Database, how: Correcting, rows: Rows) -> None:
    """It is recorded as soon as its mandate is, and told as parked until then."""
    wrong = event(event_id="e1", price_chf="-1")
    record(wrong)
    letter_id = letter(rows)["id"]
    right = body_of({**wrong, "price_chf": "1"})
    assert correct_dead_letter(database, ROOT, letter_id, right, how).outcome is Outcome.PARKED
    assert correct_dead_letter(database, ROOT, letter_id, right, how).outcome is Outcome.PARKED


def test_erasing_a_person_takes_both_texts(
    wrong: dict[str, object], database: Database, owner_database: Database, how: Correcting, rows: Rows
) -> None:
    """What was refused and what was recorded in its place."""
    correct_dead_letter(database, ROOT, letter(rows)["id"], body_of({**wrong, "price_chf": "1"}), how)
    assert erase_user(owner_database, "ada", by="olga", reason="asked for")["letters"] == 1
    found = letter(rows)
    assert (bytes(found["body"]), bytes(found["corrected_body"])) == (b"", b"")


def test_there_must_be_a_letter_and_a_reason(database: Database, how: Correcting) -> None:
    """Nobody is to wonder later why."""
    with pytest.raises(NotFound, match="there is no dead letter 4711"):
        correct_dead_letter(database, ROOT, 4711, b"{}", how)
    with pytest.raises(RequestRefused, match="reason"):
        correct_dead_letter(database, ROOT, 4711, b"{}", Correcting("olga", " ", how.config, "test"))


def test_the_command_reads_a_file_and_shows_what_became_of_it(wrong: dict[str, object], run: Run, rows: Rows, tmp_path: Path) -> None:
    """And `show` has both texts afterwards."""
    corrected, letter_id = tmp_path / "corrected.json", str(letter(rows)["id"])
    corrected.write_bytes(body_of({**wrong, "price_chf": "1"}))
    done = run("deadletters", "correct", letter_id, str(corrected), "--reason", "typo", "--by", "olga", "--json")
    assert (done.code, done.json["outcome"], done.json["event_id"]) == (0, "recorded", "e1")
    shown = run("deadletters", "show", letter_id).out
    assert '"price_chf": "-1"' in shown
    assert '"price_chf": "1"' in shown.partition("corrected to")[2]
    assert json.loads(run("deadletters", "show", letter_id, "--json").out)["resolved_by"] == "olga"
