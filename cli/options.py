"""Options that many commands share."""

import getpass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.output.format import Format, choose, chosen
from core.asking.paging import LIMIT_MAX
from core.events.model import parse_time


def login(named: str = "") -> str:
    """Who is named, else who is at the terminal."""
    try:
        return named or getpass.getuser()
    except (KeyError, OSError):
        return "command line"


def as_json(asked: bool) -> bool:
    """Whether JSON is to be printed: `--json` or `-o json` was named.

    Raises:
        BadParameter: another format is named beside it.
    """
    return _asked(Format.JSON, asked=asked)


def as_csv(asked: bool) -> bool:
    """Whether CSV is to be printed: `--csv` or `-o csv` was named.

    Raises:
        BadParameter: another format is named beside it.
    """
    return _asked(Format.CSV, asked=asked)


def _asked(format_: Format, *, asked: bool) -> bool:
    if asked:
        try:
            choose(format_)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return chosen() is format_


Mandate = Annotated[str, typer.Argument(help="Id of the mandate.")]
OfUser = Annotated[str | None, typer.Option("--user", help="Id of the user whose account it is; without one the mandate's pool.")]
AsJson = Annotated[
    bool, typer.Option("--json", callback=as_json, help="Print one JSON document: decimals as strings, times in ISO 8601; errors, too. As -o json.")
]
AsCsv = Annotated[bool, typer.Option("--csv", callback=as_csv, hidden=True, help="As -o csv.")]
Limit = Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="Rows to show at most.")]
Offset = Annotated[int, typer.Option(min=0, help="Rows to leave out first; they are read all the same: --before or --after go on at once.")]
BeforeId = Annotated[int | None, typer.Option("--before", min=1, metavar="ID", help="Where the page begins: the id of the last row already seen.")]
Key = Annotated[
    str, typer.Option(help="Yours, such as the payment's number: the same key and content again changes nothing and shows the first result.")
]
By = Annotated[str, typer.Option(callback=login, show_default=False, help="Who does it, kept in the books. Default: your login.")]

Mandates = Annotated[list[str] | None, typer.Option("--mandate", help="Id of a mandate; may be given several times. Default: all.")]
Force = Annotated[bool, typer.Option("--force", help="Take the place of a file that is there.")]
STANDARD_OUTPUT = Path("-")  # in place of a file

Moment = str | None  # a point in time as it is typed; `cli.ranges.moment` reads it


def moment_and_id(value: str | None, option: str, example: str) -> tuple[datetime, int] | None:
    """The time and the id that were typed with a comma between them, if they were.

    Raises:
        BadParameter: it is something else.
    """
    if value is None:
        return None
    time, _, row_id = value.rpartition(",")
    try:
        cursor = datetime.fromisoformat(time), int(row_id)
    except ValueError:
        raise typer.BadParameter(f"is not {example}, such as 2026-01-31T12:00:00+00:00,42", param_hint=option) from None
    if cursor[0].tzinfo is None:
        raise typer.BadParameter("the time has no offset", param_hint=option)
    return cursor


def moment_first(value: tuple[str, str, str] | None) -> tuple[datetime, str, str] | None:
    """The point in time and what follows it that were typed, if they were.

    Raises:
        BadParameter: the first is no RFC 3339 time with offset.
    """
    return None if value is None else (parsed_moment(value[0]), *value[1:])


def moment(value: str | None) -> datetime | None:
    """The point in time that was typed, if one was.

    Raises:
        BadParameter: it is no RFC 3339 time with offset.
    """
    return None if value is None else parsed_moment(value)


def parsed_moment(value: str) -> datetime:
    """The point in time that was typed.

    Raises:
        BadParameter: it is no RFC 3339 time with offset.
    """
    try:
        return parse_time(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} {error}") from None
