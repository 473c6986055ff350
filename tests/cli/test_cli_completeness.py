"""`producers` and `compare`: what they show, what they write, and how they end."""

import gzip
import io
import json
from pathlib import Path

import pytest

from core.database.database import Database
from core.producers.merge import merge_producers
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import body_of, event
from tests.scene import PutSettings

__all__ = ["run"]


@pytest.fixture
def journal(put_settings: PutSettings, record: Record, database: Database, tmp_path: Path) -> Path:
    """Seven events that a producer has sent: three are recorded, one is parked, one refused, two never came."""
    put_settings(users=["ada"])
    events = [event(producer_id="p1", producer_seq=number, event_id=f"e{number}") for number in range(1, 8)]
    events[3] |= {"mandate_id": "stranger"}
    events[4] |= {"price_chf": "-1"}
    record(*events[:2], *events[3:5], events[6])
    merge_producers(database)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(body_of(one) + b"\n" for one in events) + b"\n")
    return path


@pytest.mark.usefixtures("journal")
def test_what_is_missing_of_producers_is_listed(run: Run, rows: Rows) -> None:
    """In a line for each, or every range of one; `--missing` leaves the complete ones out."""
    rows("INSERT INTO producers (producer_id, highest, first_seen_at, last_seen_at) VALUES ('p2', 7, now(), now())")
    assert [one["producer_id"] for one in run("producers", "--json").json] == ["p2", "p1"]
    (one,) = run("producers", "--missing", "--json").json
    assert (one["highest"], one["missing_events"], one["missing"], one["untracked_from"]) == (7, 2, [[3, 3], [6, 6]], None)
    assert "3, 6" in run("producers").out
    assert [(gap["first_seq"], gap["is_finding"]) for gap in run("producers", "p1", "--json").json] == [(3, False), (6, False)]
    assert [gap["first_seq"] for gap in run("producers", "p1", "--after", "3", "--json").json] == [6]
    assert run("producers", "p9").err == "error: producer_id: nothing came of a producer 'p9'\n"


def test_a_journal_is_compared_and_what_is_missing_written(run: Run, journal: Path, tmp_path: Path) -> None:
    """Counts, a line for each that isn't recorded, exit code 1; the missing lines as they stood, for `tollbook publish`."""
    missing = tmp_path / "missing.jsonl"
    done = run("compare", str(journal), "--missing-to", str(missing), "--json")
    assert done.code == 1
    counts = {"lines": 7, "recorded": 3, "duplicate": 0, "conflict": 0, "parked": 1, "rejected": 1, "missing": 2, "unreadable": 0}
    assert {name: done.json[name] for name in counts} == counts
    assert [(one["number"], one["standing"]) for one in done.json["not_recorded"]] == [(3, "missing"), (4, "parked"), (5, "rejected"), (6, "missing")]
    lines = journal.read_bytes().splitlines()
    assert missing.read_bytes().splitlines() == [lines[2], lines[5]]
    assert run("compare", str(journal), "--missing-to", str(missing)).code != 0
    people = run("compare", str(journal), "--limit", "1").out
    assert "and 3 further lines that aren't recorded" in people
    assert people.endswith("7 lines: 3 recorded, 1 parked, 1 rejected, 2 missing\n")


def test_a_journal_may_be_compressed_or_piped(run: Run, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gzip is known by its first bytes; what is all recorded, parked or refused ends with 0."""
    lines = [line for line in journal.read_bytes().splitlines() if json.loads(line or b"{}").get("event_id") not in ("e3", "e6", None)]
    packed = tmp_path / "journal.gz"
    packed.write_bytes(gzip.compress(b"\n".join(lines)))
    assert run("compare", str(packed)).code == 0
    for piped in (b"\n".join(lines), packed.read_bytes()):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped)))
        assert run("compare", "-", "--json").json["lines"] == 5


def test_lines_that_are_no_events_are_told(run: Run, tmp_path: Path) -> None:
    """Also one that is longer than any message."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"[]\n" + b"x" * (2 * 1024 * 1024) + b"\n" + body_of(event()))
    done = run("compare", str(path), "--json")
    assert (done.code, done.json["unreadable"], done.json["missing"]) == (1, 2, 1)
