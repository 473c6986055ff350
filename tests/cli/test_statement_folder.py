"""`tollbook statement --all`: a file of each mandate that has anything, whatever its id is, and whatever happens on the way."""

import csv
import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.output.file_names import safe_name
from cli.output.statement_journal import JOURNAL
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import StorageUnavailable
from core.reports.statement import statement
from tests.cli.test_cli import Run, run
from tests.cli.test_statement_page import HOSTILE, TAGS, Page
from tests.conftest import Record
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["run"]

OTHERS = ["..", "/etc/passwd", "ACME", "a/b", "a\\b", "con", "index", ".hidden", "=1+1", "x" * 64, "é", "e\u0301", "漢字", " "]
NAMES = ["acme", *OTHERS, *(name[:64] for name in HOSTILE if name.isprintable())]


@given(st.lists(st.text(min_size=1, max_size=64), min_size=2, max_size=2, unique=True))
def test_no_two_ids_have_one_file(ids: list[str]) -> None:
    """Not where case makes no difference either; and a name is a plain one, of a length that every file system takes."""
    names = [safe_name(one) for one in ids]
    assert names[0] != names[1]
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_~-]{0,80}", name) for name in names)


@pytest.fixture
def january(put_settings: PutSettings, record: Record) -> None:
    """Mandates of every kind of name, each of which used 1 CHF more than the one before; and one that has nothing."""
    for n, name in enumerate(NAMES):
        put_settings(name, BillingModel.PREPAY_MANDATE if n % 2 else BillingModel.PREPAY_USER, users=["ada", "../bob"])
        for user_id in ("ada", "../bob"):
            record(event(mandate_id=name, user_id=user_id, price_chf=f"{n + 1}", occurred_at="2026-01-10T10:00:00Z"))
    put_settings("idle", users=["ada"])


def summary(folder: Path) -> list[dict[str, str]]:
    """The lines of the summary, the total last."""
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> set[str]:
    """All that is in the folder, by its path in it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def total_of(found: Any) -> Decimal:
    """What was used, by a statement's JSON."""
    return Decimal(found["usage"]["cost"])


@pytest.mark.usefixtures("january")
def test_each_mandate_with_anything_has_a_file(run: Run, tmp_path: Path, database: Database) -> None:
    """In the folder and nowhere else, with the figures of its statement; summary and index name each, and tell what they come to."""
    ended = run("statement", "--all", "2026-01", "made", "--json")
    assert (ended.json["statements"], ended.json["failed"], ended.json["index"]) == (len(NAMES), 0, "made/index.html")
    assert {path.name for path in tmp_path.iterdir()} == {"made"}
    lines = summary(tmp_path / "made")
    assert files(tmp_path / "made") == {JOURNAL, "index.html", "summary.csv", *(line["file"] for line in lines[:-1])}
    assert len({line["file"].lower() for line in lines[:-1]}) == len(NAMES)
    for line in lines[:-1]:
        found = json.loads((tmp_path / "made" / line["file"]).read_text(encoding="utf-8"))
        whole = statement(database, ROOT, found["mandate_id"], date(2026, 1, 1), None)
        assert found["mandate_id"] == line["mandate_id"].removeprefix("'")
        assert Decimal(found["total"]["closing"]) == whole.total.closing == Decimal(line["closing"])
        assert total_of(found) == Decimal(line["cost"]) == whole.usage.cost
    n = len(NAMES)
    assert (lines[-1]["mandate_id"], Decimal(lines[-1]["cost"]), lines[-1]["event_count"]) == ("total", Decimal(n * (n + 1)), str(2 * n))
    index = (tmp_path / "made" / "index.html").read_text(encoding="utf-8")
    assert set(re.findall('href="([^"]*)"', index)) == {"summary.csv", *(line["file"] for line in lines[:-1])}
    tags = Page(index).tags
    assert {tag for tag, _ in tags} <= {*TAGS.split(), "a", "ul", "li"}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on") or name in ("src", "style")]


@pytest.mark.usefixtures("january")
def test_one_of_each_user_where_users_pay(run: Run, tmp_path: Path) -> None:
    """Beside the mandate's own; a user's usage is part of that and not of the total."""
    assert run("statement", "--all", "--per-user", "--mandate", "acme", "--mandate", "..", "2026-01", "made").code == 0
    lines = {(line["mandate_id"], line["user_id"]): line for line in summary(tmp_path / "made")}
    assert set(lines) == {("acme", ""), ("acme", "ada"), ("acme", "../bob"), ("..", ""), ("total", "")}
    assert lines["acme", "ada"]["file"] == "acme-2026-01-users/ada-2026-01.html"
    assert [Decimal(lines[key]["cost"]) for key in (("acme", "ada"), ("acme", ""), ("total", ""))] == [Decimal(1), Decimal(2), Decimal(6)]
    assert Decimal(lines["acme", "ada"]["closing"]) == -1
    assert "<dt>User</dt><dd><bdi>../bob</bdi></dd>" in (tmp_path / "made" / lines["acme", "../bob"]["file"]).read_text(encoding="utf-8")


Failing = Callable[[str, BaseException], None]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Lets the statement of one mandate fail by an error."""

    def fails(mandate_id: str, error: BaseException) -> None:
        def failed(database: Any, actor: Any, of: str, *args: Any, **kwargs: Any) -> Any:
            if of == mandate_id:
                raise error
            return statement(database, actor, of, *args, **kwargs)

        monkeypatch.setattr("cli.statement.statement_of", failed)

    return fails


@pytest.mark.usefixtures("january")
def test_one_bad_mandate_stops_no_other(run: Run, tmp_path: Path, failing: Failing) -> None:
    """It is named, the others are made, and the same command tries it again and makes none of those anew."""
    failing("con", ZeroDivisionError("of con"))
    ended = run("statement", "--all", "2026-01", "made")
    assert (ended.code, ended.err) == (1, "refused: con: of con\n")
    assert len([line for line in summary(tmp_path / "made") if line["file"]]) == len(NAMES) - 1
    assert "of con" in (tmp_path / "made" / "index.html").read_text(encoding="utf-8")
    failing("nobody", ZeroDivisionError())
    again = run("statement", "--all", "2026-01", "made")
    assert (again.code, "1 of them made now" in again.out) == (0, True)


@pytest.mark.usefixtures("january")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageUnavailable("gone"), OSError("disk full")], ids=["interrupted", "away", "full"])
def test_the_same_command_goes_on(run: Run, tmp_path: Path, failing: Failing, error: BaseException) -> None:
    """Whatever ended it: what was there whole stays as it was, as of the moment at which it had begun; drafts of a killed one go."""
    failing("con", error)
    assert run("statement", "--all", "2026-01", "made").code != 0
    folder = tmp_path / "made"
    before = {name: (folder / name).stat().st_mtime_ns for name in files(folder) if name.endswith(".html")}
    assert 0 < len(before) < len(NAMES)
    (folder / ".acme-2026-01.html.4711").write_text("half of one")
    with (folder / JOURNAL).open("a") as journal:
        journal.write('{"mandate_id": "half of a li')
    failing("nobody", error)
    ended = run("statement", "--all", "2026-01", "made")
    assert (ended.code, ended.err) == (0, "")
    assert f"{len(NAMES) - len(before)} of them made now" in ended.out
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before
    assert ".acme-2026-01.html.4711" not in files(folder)
    (moment,) = set(re.findall('datetime="(2[^"]*T[^"]*)"', "".join((folder / name).read_text() for name in files(folder) if "-2026-01." in name)))
    assert moment in ended.out
    again = run("statement", "--all", "2026-01", "made")
    assert (again.code, ", 0 of them made now" in again.out) == (0, True)


@pytest.mark.usefixtures("january")
def test_a_folder_has_one_order(run: Run, tmp_path: Path) -> None:
    """Another month, other options or other files are refused, but for --force, which takes those away that it had made."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    assert "is not empty" in run("statement", "--all", "2026-01", "mine").err
    assert run("statement", "--all", "2026-01", "made").code == 0
    for options in (("2026-02",), ("2026-01", "--json"), ("2026-01", "--as-of", "2026-01-20T00:00:00Z")):
        ended = run("statement", "--all", options[0], "made", *options[1:])
        assert (ended.code, "has the statements of 2026-01-01" in ended.err) == (1, True)
    assert run("statement", "--all", "2026-01", "made", "--json", "--force").code == 0
    assert {Path(name).suffix for name in files(tmp_path / "made") - {"index.html"}} == {".json", ".csv", ".jsonl"}


def test_options_that_go_together(run: Run) -> None:
    """Those of a folder only with --all, those of one statement only without."""
    for wrong in (("--per-user",), ("--mandate", "acme"), ("--all", "--user", "ada"), ("--all", "--output", "x")):
        assert run("statement", "2026-01", "2026-01", *wrong).code == 2


@pytest.mark.usefixtures("january")
def test_the_statement_of_one_user(run: Run) -> None:
    """In the terminal and in JSON."""
    assert run("statement", "acme", "2026-01", "--user", "ada", "--json").json["user_id"] == "ada"
    assert "total: 1 event, 1.000000000 CHF" in run("statement", "acme", "2026-01", "--user", "ada").out
