"""What can't be taken back is asked for first: at a terminal only, so that no script ever waits."""

import sys
from typing import Annotated

import typer

from cli.output.text import printable

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask. Nothing is asked either where standard input or output is no terminal.")]


def asks(*, yes: bool) -> bool:
    """Whether somebody is at the terminal who can be asked, and wants to be."""
    return not yes and sys.stdin.isatty() and sys.stdout.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Returns if it is to be done: somebody said so at the terminal, or `--yes`, or nobody can be asked.

    Raises:
        Abort: they said no; nothing was done.
    """
    if asks(yes=yes):
        typer.confirm(printable(question), abort=True, err=True)
