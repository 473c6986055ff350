"""The journal and the plan of an operator: what is on disk is what was meant, whenever the process ends."""

from pathlib import Path

import pytest

from lab.torture.lines import read_lines
from lab.torture.operator_journal import OperatorJournal
from lab.torture.operator_plan import Plan, mandates_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal is."""
    return tmp_path / "operator.jsonl"


def test_an_intent_is_on_disk_before_anything_is_done(path: Path) -> None:
    """Whoever reads the file while the process lives sees it."""
    with OperatorJournal(path) as journal:
        journal.intend("top_up", {"amount": "1"}, scope="", expect="done")
        (line,) = read_lines(path)
    assert (line["n"], line["kind"], line["asked"], line["expect"]) == (1, "top_up", {"amount": "1"}, "done")


def test_an_intent_without_an_answer_is_open_in_the_next_life(path: Path) -> None:
    """So is one of which nobody knows; one that was answered isn't."""
    with OperatorJournal(path) as journal:
        assert journal.live() == 1
        for kind in ("unheard", "unknown", "answered"):
            journal.intend(kind, {}, scope="", expect=None)
        journal.answer(journal.intents[2], "maybe", reason="the database is away")
        journal.answer(journal.intents[3], "done", result={"amount": 1})
    with OperatorJournal(path) as journal:
        assert {intent.kind: intent.is_open for intent in journal.intents.values()} == {"unheard": True, "unknown": True, "answered": False}
        assert journal.next == 4
        assert journal.live() == 2


def test_half_a_line_is_dropped(path: Path) -> None:
    """It was being written when the process was killed, so that nothing was done yet."""
    with OperatorJournal(path) as journal:
        journal.intend("top_up", {}, scope="", expect=None)
    with path.open("a") as file:
        file.write('{"n": 2, "kind": "adj')
    with OperatorJournal(path) as journal:
        assert list(journal.intents) == [1]
        journal.intend("refund", {}, scope="", expect=None)
    assert [line["kind"] for line in read_lines(path)] == ["top_up", "refund"]


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    """With all its mandates, of which some are late."""
    plan = Plan("postgresql://nowhere", str(tmp_path), seed=9, mandates=mandates_of(2, late=3), heavy=60)
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
    assert plan.late == ["m-late-1", "m-late-2", "m-late-3"]
