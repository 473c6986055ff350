"""A file that is typed as `-`: what standard input has, kept while the command runs, since files are read more than once."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from cli.output.text import printable

STANDARD_INPUT = Path("-")


def or_standard_input(context: typer.Context, path: Path | None) -> Path | None:
    """The callback of a file's option: its path, or that of a copy of standard input, which goes when the command ends.

    Raises:
        BadParameter: there is no such file, or standard input was named before.
    """
    if path is None:
        return None
    if path != STANDARD_INPUT:
        if not path.exists():
            raise typer.BadParameter(f"file '{printable(str(path))}' does not exist.")
        return path
    if __name__ in context.meta:
        raise typer.BadParameter("standard input is one file: name it once")
    context.meta[__name__] = True
    folder = context.find_root().with_resource(TemporaryDirectory(prefix="tollbook-"))
    copy = Path(folder) / "standard-input"
    with copy.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return copy


# Of an option or an argument. Not `exists` with `allow_dash`: typer doesn't know a dash in a path.
FILE: dict[str, Any] = {"dir_okay": False, "callback": or_standard_input}
