"""Options that many commands share."""

import getpass
from datetime import datetime
from typing import Annotated

import typer

from core.domain.usage_event import parse_time
from core.views.paging import LIMIT_MAX

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document: decimals as strings, times in ISO 8601.")]
Limit = Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="Rows to show at most.")]
Offset = Annotated[int, typer.Option(min=0, help="Rows to leave out first.")]
Key = Annotated[
    str, typer.Option(help="Yours, such as the payment's number: the same key and content again changes nothing and shows the first result.")
]
By = Annotated[str | None, typer.Option(help="Who does it, kept in the books. Default: your login.")]

Moment = str | None  # a point in time as it is typed; `moment` reads it


def moment(value: str | None) -> datetime | None:
    """The point in time that was typed, if one was.

    Raises:
        BadParameter: it is no RFC 3339 time with offset.
    """
    if value is None:
        return None
    try:
        return parse_time(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} {error}") from None


def login() -> str:
    """Who is at the terminal, where no other is named."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"
