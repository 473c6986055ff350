"""`tollbook prices`: what the commands print for people and for programs, and how they end."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.database.database import Database
from tests.cli.test_cli import Run, run
from tests.conftest import Rows
from tests.prices.scene import accepted, row
from tests.scene import PutMandate

__all__ = ["run"]

HEADER = "provider,model,region_scope,service_tier,processing,speed,leaf,amount,per,currency\n"
LINE = "openai,gpt,global,default,interactive,standard,input,{},1000000,USD\n"
COMMANDS = [
    *("import", "diff", "accept", "list", "show", "status", "mode", "aliases list", "aliases add", "aliases close", "rules list", "rules add"),
    *("rules close", "fx import", "fx list", "uncharged list", "uncharged add", "uncharged close"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    """Help tells what the command does, has an example, and says as whom it can be run."""
    ended = run("prices", *command.split(), "--help")
    assert ended.code == 0
    assert f"Usage: tollbook prices {command}" in ended.out
    assert f"Example: tollbook prices {command.split(maxsplit=1)[0]}" in ended.out
    assert "--as" in ended.out


def test_a_book_is_brought_in_and_accepted(run: Run, tmp_path: Path) -> None:
    """Import shows what would change and how to accept it; then it is active, and shown."""
    file = tmp_path / "p.csv"
    file.write_text(HEADER + LINE.format(5))
    first = run("prices", "import", str(file), "--by", "olga")
    assert (first.code, first.err) == (0, "")
    assert "new: 1, changed: 0, gone: 0, redated: 0\nno default: openai.region_scope, openai.service_tier, openai.processing" in first.out
    assert first.out.endswith("proposal 1 (1 row): tollbook prices accept 1\n")
    assert run("prices", "accept", "1", "--by", "olga", "--json").json["version_id"] == 1
    assert run("prices", "accept", "1", "--json").json["repeated"] is True
    shown = run("prices", "show", "gpt")
    assert "input" in shown.out
    assert "1000000" in shown.out
    file.write_text(HEADER + LINE.format(4))
    assert run("prices", "import", str(file), "--since", "2026-10-01T00:00:00Z", "--json").json["diff"]["counts"]["changed"] == 1
    told = run("prices", "diff")
    assert "20.0" in told.out  # percent: from 5 to 4
    status = run("prices", "status", "--json").json
    assert (status["active"]["id"], status["proposals"]) == (1, [2])
    assert [one["active"] for one in run("prices", "list", "--json").json] == [False, True]


def test_each_line_at_fault_is_told_and_nothing_is_done(run: Run, tmp_path: Path, rows: Rows) -> None:
    """Exit code 1; on standard error a line for each fault, then how many there are."""
    file = tmp_path / "p.csv"
    file.write_text(HEADER + LINE.format("five") + LINE.format(5) + LINE.format(-1))
    ended = run("prices", "import", str(file))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        "refused: line 2: amount is not a plain decimal number (got 'five')",
        "refused: line 4: amount is not 0 to 999999999999 (got '-1')",
        "error: lines: 'p.csv' has 2 faults, and nothing of it was taken over",
    ]
    assert rows("SELECT count(*) AS n FROM price_versions") == [{"n": 0}]


def test_what_the_package_has_and_no_row_can_say_is_told(run: Run) -> None:
    """Each reason with its number; programs get all of them."""
    ended = run("prices", "import", "--from", "genai-prices")
    assert ended.code == 0
    assert "left out, peak_hours: 5\n  deepseek deepseek-chat: its price depends on the time of day\n" in ended.out
    assert "further changes: --all shows them" in ended.out
    assert "converted: " in ended.out


def test_rules_aliases_and_modes_are_said_and_closed(run: Run, database: Database, put_mandate: PutMandate) -> None:
    """What was said comes back; a contradiction names both."""
    put_mandate()
    accepted(database, [row()])
    assert run("prices", "rules", "add", "--markup", "12.5", "--by", "olga", "--json").json["markup_percent"] == "12.500000"
    refused = run("prices", "rules", "add", "--markup", "10", "--provider", "openai")
    assert refused.code == 1
    assert refused.err == (
        "error: priority: of two rules of equal rank nobody could tell which decides: 1 (priority 0, markup_percent 12.5)"
        " and this one (priority 0, provider openai, markup_percent 10) hold at one time\n"
    )
    assert run("prices", "rules", "close", "1", "--end", "2027-01-01T00:00:00Z", "--json").json["valid_to"] == "2027-01-01T00:00:00+00:00"
    assert run("prices", "rules", "add", "--markup", "x").err == "error: markup: is not a plain decimal number\n"
    assert run("prices", "aliases", "add", "openai", "latest", "gpt", "--by", "olga", "--json").json["approved_by"] == "olga"
    assert "latest" in run("prices", "aliases", "list").out
    assert run("prices", "show", "latest", "--json").json[0]["model"] == "gpt"
    assert run("prices", "uncharged", "add", "failed", "--without-usage", "--json").json["outcome"] == "failed"
    assert "failed" in run("prices", "uncharged", "list").out
    assert run("prices", "mode", "acme", "shadow", "--since", "2026-11-01T00:00:00Z", "--json").json["mode"] == "shadow"
    assert "shadow" in run("prices", "mode", "acme").out


def test_a_mode_that_a_later_one_cuts_short_is_told(run: Run, put_mandate: PutMandate) -> None:
    """Whoever says a mode for the past hears that another one, said before, holds by now."""
    put_mandate("acme")
    assert run("prices", "mode", "acme", "shadow", "--since", "2026-11-02T00:00:00Z").err == ""
    told = run("prices", "mode", "acme", "computed", "--since", "2026-11-01T00:00:00Z").err
    assert told == "warning: what happens from 2026-11-02T00:00:00+00:00 on is billed as shadow, as was said before\n"


def test_rates_are_brought_in_from_the_bank_and_from_files(run: Run, tmp_path: Path) -> None:
    """The bank's history needs no network; a file's other value is refused by name."""
    ecb = ("prices", "fx", "import", "--from", "ecb", "--first", "2026-01-01", "--json")
    assert json.loads(run(*ecb).out)["written"] > 200
    assert json.loads(run(*ecb).out)["written"] == 0
    legs = run("prices", "fx", "list", "--currency", "USD", "--limit", "1", "--json").json[0]["legs"]
    assert [leg["pair"] for leg in legs] == ["EUR/USD", "EUR/CHF"]
    file = tmp_path / "fx.csv"
    file.write_text("date,currency,rate\n2026-01-02,USD,0.5\n")
    refused = run("prices", "fx", "import", str(file))
    assert refused.code == 1
    assert refused.err.startswith("refused: USD of 2026-01-02: 0.500000000000 here, 0.")
    assert json.loads(run("prices", "fx", "import", str(file), "--replace", "--json").out)["replaced"] == 1
    assert "replaced" in run("prices", "fx", "list", "--currency", "USD").out


@pytest.mark.parametrize(("days", "warned"), [(7, False), (8, True)])
def test_rates_that_are_too_old_for_calls_of_now_are_told(run: Run, tmp_path: Path, days: int, warned: bool) -> None:
    """Nobody should learn of it by events that wait."""
    file = tmp_path / "fx.csv"
    file.write_text(f"date,currency,rate\n{datetime.now(UTC).date() - timedelta(days=days)},USD,0.8\n")
    told = run("prices", "fx", "import", str(file)).err
    assert ("8 days old" in told and "tollbook prices fx import FILE.csv" in told) is warned


@pytest.mark.parametrize(
    "command",
    [
        *("import", "import --from genai-prices prices.csv", "import --from csv", "diff --against models.json", "accept x", "mode acme sometimes"),
        *("rules close 1", "show gpt --at someday", "fx import", "fx import --from ecb --first someday"),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, command: str, tmp_path: Path) -> None:
    """What can't be understood says why on standard error."""
    (tmp_path / "prices.csv").write_text(HEADER)
    ended = run("prices", *command.split())
    assert (ended.code, ended.out) == (2, "")
    assert "Error: " in ended.err


@pytest.mark.parametrize("command", ["show gpt", "diff", "diff 5", "accept 5", "aliases close 7 --end 2027-01-01T00:00:00Z", "mode nobody shadow"])
def test_what_is_not_there_is_told(run: Run, command: str) -> None:
    """One line on standard error, exit code 4: it does not exist."""
    ended = run("prices", *command.split())
    assert (ended.code, ended.out) == (4, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_only_root_is_answered(run: Run) -> None:
    """Prices are the operator's business."""
    assert "may not see the price book" in run("prices", "status", "--as", "user:ada").err
    assert "may not change sale rules" in run("prices", "rules", "add", "--markup", "1", "--as", "administrator:acme").err
