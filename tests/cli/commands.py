"""Every command, for tests of what all of them promise."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from cli.main import COMMANDS, app

STARTS_SOMETHING = ("services", "demo")


@cache
def root() -> Any:
    """The program."""
    return typer.main.get_command(app)


def commands() -> dict[str, Any]:
    """What can be run, by what is typed."""
    return dict(_commands())


def _commands() -> Iterator[tuple[str, Any]]:
    with root().make_context("tollbook", ["--version"], resilient_parsing=True) as context:
        for name in COMMANDS:
            _, command, _ = root().resolve_command(context, [name])
            yield from _within(name, command)


def _within(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if getattr(command, "invoke_without_command", True):
        yield name, command
    for word, one in getattr(command, "commands", {}).items():
        yield from _within(f"{name} {word}", one)


def options(command: Any) -> set[str]:
    """What a command's options are called."""
    return {name for param in command.params if param.param_type_name == "option" for name in (*param.opts, *param.secondary_opts)}
