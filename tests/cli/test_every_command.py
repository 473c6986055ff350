"""What every command promises, whichever it is: a new one is asked the same."""

import shlex
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from cli.output.show import Listing
from tests.cli.commands import commands, options, root

COMMANDS = commands()
SILENT = {"completion"}  # what they print is a script
MODULES = [import_module(f"cli.{file.stem}") for file in Path("cli").glob("*.py") if file.stem != "__init__"]


@pytest.mark.parametrize("name", COMMANDS)
def test_it_has_the_common_options(name: str) -> None:
    """Whatever shows something shows it as JSON and as CSV, whole where that is asked for."""
    if name not in SILENT:
        assert options(COMMANDS[name]) >= {"--json", "-o", "--output-format", "--wide"}, name


@pytest.mark.parametrize("name", COMMANDS)
def test_it_helps(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`-h` and `--help` say the same; the first sentence of it says what it does, its last line is an example."""
    told = []
    for word in ("-h", "--help"):
        with pytest.raises(SystemExit) as caught:
            import_module("cli.main").main([*name.split(), word])
        assert not caught.value.code
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert f"Usage: tollbook {name} " in told[0]
    assert COMMANDS[name].help
    assert told[0].rstrip().splitlines()[-1].strip()
    assert (COMMANDS[name].epilog or "").startswith(f"Example: tollbook {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_its_example_can_be_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example in the help is a command line that this very command understands."""
    words = shlex.split(COMMANDS[name].epilog.removeprefix("Example: "))
    monkeypatch.chdir(tmp_path)
    for word in words:
        if word.endswith((".csv", ".json", ".jsonl")):
            (tmp_path / word).touch()
    (tmp_path / "old-books").mkdir()
    ran: list[Any] = []
    monkeypatch.setattr(COMMANDS[name], "invoke", lambda context: ran.append(context.params))
    group, rest = root(), words[1:]
    context = group.make_context("tollbook", list(rest))
    command, rest = COMMANDS[name], words[1 + len(name.split()) :]
    with context, command.make_context(name, list(rest), parent=context):
        pass
    assert words[0] == "tollbook"


def test_ranges_have_one_vocabulary() -> None:
    """Where one of the options of ranges is, all of them are; older names are there, but not shown."""
    words = {"--from", "--to", "--day", "--month", "--year"}
    for name, command in COMMANDS.items():
        named = options(command) & words
        if name not in ("prices import", "prices fx import", "intake adopt"):  # where `--from` is a source, `--to` a queue
            assert not named or named == words, name
        for param in command.params:
            if {"--since", "--until"} & set(param.opts) and named == words:
                assert param.hidden, name


def listings(module: ModuleType) -> dict[str, Listing]:
    """The tables that a module declares."""
    return {name: value for name, value in vars(module).items() if isinstance(value, Listing)}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_list_has_a_header_as_csv(module: ModuleType) -> None:
    """A list that is shown by itself says of what kind its rows are, so that an empty CSV still has its header."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    for name, listing in listings(module).items():
        if "show_rows(" in source and f", {name}," in source and module.__name__ != "cli.services":
            assert listing.of is not None, name
            assert fields(listing.of), name


def test_a_negative_amount_is_no_option() -> None:
    """`-12.50` stands for itself, as an argument and as an option's value, without `--` before it."""
    adjust = COMMANDS["adjust"]
    with adjust.make_context("adjust", ["acme", "-12.50", "--reason", "r", "--key", "-1"]) as context:
        assert (context.params["amount"], context.params["key"]) == ("-12.50", "-1")
    with COMMANDS["prices settle"].make_context("settle", ["acme", "e", "-.5", "--reason", "r"]) as context:
        assert context.params["price"] == "-.5"
    with COMMANDS["prices rules add"].make_context("add", ["--markup", "-5"]) as context:
        assert context.params["markup"] == "-5"
    with pytest.raises(typer.BadParameter.__mro__[1], match="No such option"):
        adjust.make_context("adjust", ["acme", "-x", "--reason", "r", "--key", "k"])
