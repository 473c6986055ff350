"""The commands that correct: what they ask for, what they tell, and how they end."""

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings

__all__ = ["run"]


@pytest.fixture
def conflict(put_settings: PutSettings, record: Record, rows: Rows) -> int:
    """The id of a conflict beside two other letters."""
    put_settings(users=["ada"])
    first = event(event_id="e1", price_chf="2")
    record(first, {**first, "price_chf": "3"}, b"bad", event(occurred_at="2020-01-01T00:00:00Z"))
    return int(rows("SELECT id FROM dead_letters WHERE reason = 'conflict'")[0]["id"])


@pytest.mark.usefixtures("conflict")
def test_letters_are_replayed_by_choice(run: Run, breaches: Breaches) -> None:
    """Without a choice nothing happens; a dry run says so; what is refused again is told by reason."""
    assert run("deadletters", "replay").code == 2
    dry = run("deadletters", "replay", "--reason", "too_late", "--accept-late", "--dry-run")
    assert dry.out == "dry run, nothing is kept: 1 letter replayed, 0 still open; events: recorded 1\n"
    assert run("deadletters", "replay", "--reason", "too_late", "--accept-late", "--json").json == {
        "letters": 1,
        "replayed": 1,
        "still_open": 0,
        "not_whole": 0,
        "outcomes": {"recorded": 1},
        "reasons": {},
        "dry_run": False,
    }
    rest = run("deadletters", "replay", "--all", "--mandate", "acme")
    assert rest.out.splitlines() == ["0 letters replayed, 1 still open; events: conflict 1", "refused again as conflict: 1 event"]
    assert run("deadletters", "replay", "--id", "4711").err == "error: there is no dead letter 4711\n"
    assert breaches() == {}


def test_a_conflict_is_accepted_or_rejected(run: Run, conflict: int, breaches: Breaches) -> None:
    """Accepting shows both transactions; again it shows the first result; what is decided can't be decided otherwise."""
    done = run("deadletters", "accept", str(conflict), "--by", "olga", "--json").json
    assert (done["price_before"], done["price_after"], done["balance"], done["repeated"]) == ("2.000000000", "3.000000000", "7.000000000", False)
    assert run("deadletters", "accept", str(conflict), "--json").json == {**done, "repeated": True}
    assert run("deadletters", "discard", "--id", str(conflict), "--json").json == {"discarded": 0}
    shown = run("deadletters", "show", str(conflict)).out
    assert "ACCEPTED" in shown
    assert "olga" in shown
    assert breaches() == {}


def test_discarded_letters_say_why_and_come_into_sight_again(run: Run, conflict: int, record: Record, rows: Rows) -> None:
    """The reason stays with the letter; when its bytes come again the list has it under `--seen-again`."""
    assert run("deadletters", "discard", "--reason", "malformed_json", "--resolution", "a test").out == "discarded 1 letter\n"
    assert run("deadletters", "list", "--seen-again", "--json").json == []
    record(b"bad")
    (again,) = run("deadletters", "list", "--seen-again", "--json").json
    assert (again["status"], again["attempts"], again["seen_again"]) == ("DISCARDED", 2, True)
    assert rows("SELECT resolution FROM dead_letters WHERE status = 'DISCARDED'") == [{"resolution": "a test"}]


@pytest.mark.usefixtures("conflict")
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_prices_are_amended_out_of_a_file_and_reverted(run: Run, tmp_path: Path, suffix: str, breaches: Breaches) -> None:
    """Dry run, amendment, replay and revert of a file, with exact totals; the price in the file is never a float."""
    file = tmp_path / f"prices{suffix}"
    file.write_text(
        "mandate_id,event_id,price_chf\nacme,e1,1.123456789\n"
        if suffix == ".csv"
        else '{"mandateId": "acme", "eventId": "e1", "priceCHF": 1.123456789}\n'
    )
    totals = {"mandate_id": "acme", "events": 1, "amended": 1, "unchanged": 0, "before": "2.000000000", "after": "1.123456789", "problems": []}
    arguments = ("amend", str(file), "--key", "k", "--json")
    assert run(*arguments, "--dry-run").json == {"dry_run": True, "mandates": [{**totals, "repeated": False}]}
    assert run("balance", "acme", "ada", "--json").json["balance"] == "8.000000000"
    assert run(*arguments).json == {"dry_run": False, "mandates": [{**totals, "repeated": False}]}
    assert run(*arguments).json == {"dry_run": False, "mandates": [{**totals, "repeated": True}]}
    assert run("balance", "acme", "ada", "--json").json["balance"] == "8.876543211"
    reverted = run("amend", "--revert", "k")
    assert reverted.code == 0
    assert "0.876543211" in reverted.out
    assert run("balance", "acme", "ada", "--json").json["balance"] == "8.000000000"
    assert breaches() == {}


@pytest.mark.usefixtures("conflict")
def test_a_file_with_a_wrong_line_amends_nothing(run: Run, tmp_path: Path, rows: Rows) -> None:
    """Each wrong line is named, and so is each event that can't be amended; nothing is written in either case."""
    file = tmp_path / "prices.jsonl"
    lines = [{"mandate_id": "acme", "event_id": "e1", "price_chf": price} for price in ("1", "-1")]
    file.write_text("\n".join([*map(json.dumps, lines), "nonsense"]))
    wrong = run("amend", str(file), "--key", "k")
    assert wrong.code == 1
    assert "line 2: price_chf: '-1' is negative\n" in wrong.err
    assert "line 3 is not JSON" in wrong.err
    assert wrong.err.endswith("error: 2 lines can't be read, so that none was amended\n")
    file.write_text("\n".join(json.dumps({"mandate_id": "acme", "event_id": event_id, "price_chf": "1"}) for event_id in ("e1", "e2")))
    unknown = run("amend", str(file), "--key", "k")
    assert (unknown.code, unknown.err.splitlines()) == (
        1,
        ["event_id: event 'e2' of mandate 'acme' is not recorded", "error: 1 event can't be amended, so that none was"],
    )
    assert run("amend", "--revert", "k").err == "error: key: no prices were amended under 'k'\n"
    assert run("amend", str(file)).code == 2
    header = tmp_path / "prices.csv"
    header.write_text("mandate_id,event_id,price\n")
    assert "the header has 'price'" in run("amend", str(header), "--key", "k").err
    assert rows("SELECT count(*) AS n FROM amendments") == [{"n": 0}]


def test_parked_events_are_released_by_hand(run: Run, record: Record, put_mandate: PutMandate, breaches: Breaches) -> None:
    """All whose mandate is known by now, however many batches that takes; a repetition finds none."""
    record(*[event(mandate_id="new") for _ in range(1500)], event(mandate_id="unknown"))
    assert run("parked", "release").out == "released: nothing\n"
    put_mandate("new", users=["ada"])
    assert run("parked", "release", "--json").json["released"]["recorded"] == 1500
    assert run("parked", "release").out == "released: nothing\n"
    assert len(run("parked", "list", "--json").json) == 1
    assert breaches() == {}


def test_the_books_are_reconciled_and_repaired(run: Run, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches) -> None:
    """A wrong balance is found (exit code 1), listed, planned and repaired; then the finding is gone, and still to be seen when asked for."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    assert run("reconcile").out.endswith("reconcile: ok\n")
    rows("UPDATE accounts SET balance = 6.5")
    found = run("reconcile", "--json")
    assert (found.code, found.json["full"], found.json["I3"], found.json["findings_new"]) == (1, 1, 1, 1)
    assert "1 violation, see tollbook findings" in run("reconcile", "--full").out
    (finding,) = run("findings", "--json").json
    assert (finding["invariant"], finding["found"]) == ("I3", ["balance 6.500000000 CHF, movements sum to 7.000000000 CHF"])
    assert "movements sum to" in run("findings", "--invariant", "I3").out
    assert run("repair", "--dry-run", "--json").json["balances"][0]["ledger"] == "7.000000000"
    dry = run("repair", "--dry-run").out
    assert dry.endswith("to be repaired: 1 balance, statistics of 0 mandates\n")
    assert list(breaches()) == ["I3"]
    done = run("repair", "--reason", "console", "--key", "ticket-1", "--by", "olga")
    assert done.out.endswith("repaired: 1 balance, statistics of 0 mandates\n")
    assert breaches() == {}
    assert run("reconcile").code == 0
    assert run("findings", "--json").json == []
    (gone,) = run("findings", "--resolved", "--json").json
    assert gone["resolved_at"] is not None
    assert [r["job"] for r in run("jobs", "--json").json] == ["books.reconcile"] * 4
    for command in (["reconcile"], ["findings"], ["repair", "--dry-run"]):
        assert run(*command, "--as", "administrator:acme").code == 6


def test_statistics_are_repaired(run: Run, put_settings: PutSettings, record: Record, rows: Rows) -> None:
    """Statistics that don't say what the transactions do are planned and counted anew, each mandate in a line."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    run("rollup", "run")
    rows("UPDATE usage_statistics SET cost = 9 WHERE period_type = 'DAY'")
    assert "rows of statistics" in run("repair", "--dry-run").out
    done = run("repair", "--reason", "console", "--key", "ticket-1", "--by", "olga").out
    assert "rows written" in done
    assert done.endswith("repaired: 0 balances, statistics of 1 mandate\n")
