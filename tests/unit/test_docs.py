"""The documents say what the code does: generated parts are in step, links resolve, commands and targets exist."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.config import Configuration
from core.events.contract import ALIASES, EventContract, EventContractV2, TokenCounts
from core.rejection import Reason
from core.reports.focus import ENTRY_COLUMNS, USAGE_COLUMNS
from core.reports.sql.exports import STATISTIC_COLUMNS, TRANSACTION_COLUMNS
from lab import docs
from lab.docs import ROOT, variable_of
from tests.conftest import IsolatedConfiguration

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def named(path: Path) -> str:
    """A document's name in the test's id."""
    return str(path.relative_to(ROOT))


def shell_lines(path: Path) -> list[str]:
    """The lines of the document's shell blocks, continued ones joined."""
    blocks = [block for language, block in _FENCE.findall(path.read_text(encoding="utf-8")) if language == "sh"]
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def headings(path: Path) -> set[str]:
    """The anchors of the document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", _FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def commands_of(program: str) -> list[Any]:
    """Every command line of `program` in the documents, with where it stands."""
    pattern = re.compile(rf"^({program} .*)$|\$\(({program} [^)]*)\)|worker ({program} .*)$")
    lines = [(path, pattern.search(line)) for path in DOCUMENTS for line in shell_lines(path)]
    found = [(path, match[1] or match[2] or match[3]) for path, match in lines if match]
    return [pytest.param(line, id=f"{named(path)}: {line}") for path, line in found]


def test_generated_documents_are_in_step() -> None:
    """What `python -m lab.docs` would write is what is there."""
    assert docs.stale() == []


def test_generated_documents_do_not_know_what_day_it_is() -> None:
    """They are the same when it is made a day earlier and a day later, and in whatever order Python keeps its sets."""
    script = "import datetime, json; from lab import docs; print(datetime.date.today(), json.dumps(docs.documents()))"
    made: dict[str, dict[str, str]] = {}
    for zone in ("EARLY+24", "LATE-24"):
        environment = os.environ | {"TZ": zone, "PYTHONHASHSEED": str(len(made))}
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        day, _, documents = done.stdout.partition(" ")
        made[day] = json.loads(documents)
    early, late = made.values()  # two days
    assert [path for path in early if early[path] != late[path]] == []


def test_check_names_what_is_out_of_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` changes nothing, names the file and ends with 1; without it the file is written, and then the check is content."""
    measured = {path: (ROOT / path).read_text(encoding="utf-8") for path in (docs.BENCH, docs.GROWTH, docs.PROFILE)}
    for path, content in (docs.documents() | measured).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content, encoding="utf-8")
    (tmp_path / docs.SCHEMA).write_text("{}", encoding="utf-8")
    assert docs.main(["--check"], tmp_path) == 1
    assert docs.SCHEMA in capsys.readouterr().out
    assert (tmp_path / docs.SCHEMA).read_text(encoding="utf-8") == "{}"
    assert docs.main([], tmp_path) == 0
    assert docs.main(["--check"], tmp_path) == 0


@pytest.mark.parametrize(("path", "contract"), [(docs.SCHEMA, EventContract), (docs.SCHEMA_V2, EventContractV2)])
def test_schema_is_that_of_the_model(path: str, contract: type[EventContract]) -> None:
    """Each published schema is the model's own, under a title of its own, and its comment names every alias."""
    published = json.loads((ROOT / path).read_text(encoding="utf-8"))
    own = contract.model_json_schema()
    assert {key: value for key, value in published.items() if key not in ("$schema", "$comment", "title")} == {
        key: value for key, value in own.items() if key != "title"
    }
    assert all(f"{alias} for {name}" in published["$comment"] for alias, name in ALIASES.items() if name in contract.model_fields)


def test_every_field_of_an_event_is_in_the_table() -> None:
    """The producers' document names each field, each alias and each token count, and says of each field what it may hold."""
    text, table = (ROOT / docs.PRODUCERS).read_text(encoding="utf-8"), docs.fields_table()
    assert table in text
    assert [name for name in [*EventContractV2.model_fields, *ALIASES, *TokenCounts.model_fields] if f"`{name}`" not in table] == []
    assert [line for line in table.splitlines() if not line.split("|")[-2].strip()] == []


@pytest.mark.parametrize("name", Configuration.model_fields)
def test_every_variable_is_documented(name: str) -> None:
    """Each field of the configuration has a description, which stands in `.env.example` and in the table."""
    field = Configuration.model_fields[name]
    assert field.description
    variable = variable_of(name, field)
    assert re.search(rf"^# {variable}=", (ROOT / docs.ENVIRONMENT).read_text(encoding="utf-8"), re.MULTILINE)
    assert f"| `{variable}` |" in (ROOT / docs.CONFIGURATION).read_text(encoding="utf-8")
    assert field.description in (ROOT / docs.CONFIGURATION).read_text(encoding="utf-8")


def test_defaults_of_the_example_are_the_defaults() -> None:
    """Uncommenting every line of `.env.example` changes nothing."""
    lines = re.findall(r"^# ([A-Z_]+)=(.+)$", (ROOT / docs.ENVIRONMENT).read_text(encoding="utf-8"), re.MULTILINE)
    names = {variable_of(name, field): name for name, field in Configuration.model_fields.items()}
    assert lines
    assert IsolatedConfiguration.model_validate({names[variable]: value for variable, value in lines}) == IsolatedConfiguration()


def test_copying_the_example_changes_nothing() -> None:
    """As it stands, `.env.example` sets no variable of the program's, and says which broker compose starts."""
    lines = re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / docs.ENVIRONMENT).read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(lines) == {**dict.fromkeys(docs.COMPOSE_SECRETS, ""), "COMPOSE_PROFILES": "redis"}


def test_every_reason_is_in_the_runbook() -> None:
    """An operator finds each reason of a dead letter."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert [reason.value for reason in Reason if f"| `{reason}` |" not in text] == []


def test_every_column_of_an_export_is_documented() -> None:
    """The tables name each column of the books and of FOCUS, and none that no export has."""
    tables = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs/exports.md").read_text(encoding="utf-8"), re.MULTILINE)
    columns = (*TRANSACTION_COLUMNS, *STATISTIC_COLUMNS, *ENTRY_COLUMNS, *USAGE_COLUMNS)
    assert {name for cell in tables for name in re.findall(r"`(\w+)`", cell)} == {column.name for column in columns}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_resolve(path: Path) -> None:
    """Each relative link leads to a file, and to a heading where it names one."""
    for link in _LINK.findall(_FENCE.sub("", path.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        resolved = (path.parent / target).resolve() if target else path
        assert resolved.exists(), link
        assert not anchor or anchor in headings(resolved), link


@pytest.mark.parametrize("line", commands_of("tollbook"))
def test_tollbook_commands_exist(line: str) -> None:
    """Each `tollbook …` of a shell block is a command of the program, with options that it has."""
    import click
    import typer

    from cli.main import app

    command: Any = typer.main.get_command(app)
    context, rest = click.Context(command), shlex.split(line)[1:]
    while hasattr(command, "resolve_command") and rest and not rest[0].startswith("-"):
        _, command, rest = command.resolve_command(context, rest)
        context = click.Context(command, parent=context)
    options = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    assert {word for word in rest if word.startswith("--")} <= options
    assert not hasattr(command, "resolve_command") or command.invoke_without_command, "names a group, not a command"


@pytest.mark.parametrize("line", commands_of("celery"))
def test_celery_commands_exist(line: str) -> None:
    """Each `celery …` of a shell block names the app and a command, and what is asked of a worker is something it answers."""
    from celery.bin.celery import celery
    from celery.worker.control import Panel

    from worker.app import app

    _, dash_a, name, command, *rest = shlex.split(line)
    assert (dash_a, name) == ("-A", "worker.app")
    assert app.main == "tollbook"
    assert command in {*celery.commands, "flower"}
    assert command not in ("inspect", "control") or rest[0] in Panel.data


@pytest.mark.parametrize("line", commands_of("make"))
def test_make_targets_exist(line: str) -> None:
    """Each `make …` of a shell block is a target of the Makefile."""
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
