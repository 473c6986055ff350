"""`tollbook deadletters correct`: the event that a dead letter should have been."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.asking import ask
from cli.context import find_servers, process_name
from cli.options import AsJson, By
from cli.output.show import show
from core.dead_letters.correct import Correcting, correct_dead_letter
from core.errors import RequestRefused
from core.events.parsing import EVENT_BYTES_MAX


def correct(
    dead_letter: Annotated[int, typer.Argument(metavar="ID", help="Id of the dead letter.")],
    file: Annotated[str, typer.Argument(help="The corrected event, one JSON object; - for standard input.")],
    reason: Annotated[str, typer.Option(help="Why, kept with the letter.")],
    by: By = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Record the corrected event in place of what a dead letter holds. Its own bytes stay, with who corrected it, when and why.

    It keeps its event id and mandate, as far as they could be read. The books judge it as any other; what they refuse changes nothing.
    Repeatable: the same correction again tells what became of the first.
    """
    how = Correcting(by, reason, find_servers(), process_name("deadletters correct"))
    show(ask(correct_dead_letter, dead_letter, _body(file), how), as_json=as_json)


def _body(file: str) -> bytes:
    """What stands in the file, up to the length that an event may have, and some white space.

    Raises:
        RequestRefused: it is longer.
    """
    if file == "-":
        body = sys.stdin.buffer.read(2 * EVENT_BYTES_MAX)
    else:
        with Path(file).open("rb") as stream:
            body = stream.read(2 * EVENT_BYTES_MAX)
    if len(body) == 2 * EVENT_BYTES_MAX:
        raise RequestRefused(f"an event has at most {EVENT_BYTES_MAX} bytes", field="file", value=file)
    return body
