"""How an answer is shown: as a table for people, as JSON or CSV for programs; loads nothing, so that the help comes at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextvars import ContextVar
from enum import StrEnum
from itertools import pairwise


class Format(StrEnum):
    """What `-o` may name."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


_chosen: ContextVar[Format | None] = ContextVar("format", default=None)
_wide: ContextVar[bool] = ContextVar("wide", default=False)
_asks_for_json: ContextVar[bool] = ContextVar("errors as json", default=False)
_narrowed: ContextVar[tuple[str, ...]] = ContextVar("narrowed", default=())
_NAMES = ("-o", "--output-format")


def reset(arguments: Sequence[str] = ()) -> None:
    """Begins a command: nothing is chosen. Errors are JSON from here on where these arguments ask for it, whether they can be read or not."""
    _chosen.set(None)
    _wide.set(False)
    _narrowed.set(())
    _asks_for_json.set(_names_json(arguments))


def choose(format_: Format) -> None:
    """Shows the command's answer so.

    Raises:
        ValueError: another format was chosen before.
    """
    before = _chosen.get()
    if before not in (None, format_):
        raise ValueError(f"name one format: {before} or {format_}, not both")
    _chosen.set(format_)


def chosen() -> Format:
    """The format that was chosen; a table where none was."""
    return _chosen.get() or Format.TABLE


def errors_as_json() -> bool:
    """Whether what goes wrong is told to a program."""
    return _asks_for_json.get()


def show_every_column() -> None:
    """Leaves no column of a table out, however narrow the terminal is."""
    _wide.set(True)


def every_column() -> bool:
    """Whether no column may be left out."""
    return _wide.get()


def narrow(options: Sequence[str]) -> None:
    """These were typed, and leave out what they don't mean."""
    _narrowed.set(tuple(options))


def narrowed() -> tuple[str, ...]:
    """The options and arguments that leave something out, as they are typed."""
    return _narrowed.get()


def on_terminal() -> bool:
    """Whether a person reads standard output as it comes."""
    return sys.stdout.isatty()


def _names_json(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for JSON, read without knowing the command: one that can't be read is told in JSON, too."""
    options = list(arguments)[: list(arguments).index("--")] if "--" in arguments else list(arguments)
    if "--json" in options or "-ojson" in options or f"{_NAMES[1]}=json" in options:
        return True
    return any(name in _NAMES and value == "json" for name, value in pairwise(options))
