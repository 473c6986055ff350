"""What is told on standard error: a line of text each, or under `--json` an object each, with what it is as its key."""

import json
from collections.abc import Mapping

import typer

from cli.output.format import errors_as_json
from core.printable import printable


def warn(text: str) -> None:
    """What was done, but may not be what was meant."""
    tell("warning", text)


def note(text: str) -> None:
    """What helps to read the answer."""
    tell("note", text, label="")


def refuse(text: str) -> None:
    """A line of what was brought that isn't taken over."""
    tell("refused", text)


def tell(kind: str, text: str, *, label: str | None = None) -> None:
    """One line: `kind: text`, or `label` in place of the kind with its colon; to a program `{"kind": {"message": text}}`."""
    if errors_as_json():
        typer.echo(_line(kind, {"message": text}), err=True)
    else:
        typer.echo(printable(f"{kind}: {text}" if label is None else f"{label}{text}"), err=True)


def tell_error(kind: str, message: str, *, field: str = "", value: object = None, lines: tuple[str, ...] = (), keep: str = "") -> None:
    """The error that ends the command: its last line on standard error; the characters in `keep` stay as they are in a text."""
    if not errors_as_json():
        label = "" if kind == "interrupted" else "error: "  # which nobody did wrong
        typer.echo(label + printable(message, keep=keep), err=True)
        return
    told: dict[str, object] = {"kind": kind, "message": message}
    if field:
        told |= {"field": field, "value": None if value is None else str(value)}
    if lines:
        told["lines"] = list(lines)
    typer.echo(_line("error", told), err=True)


def _line(kind: str, told: Mapping[str, object]) -> str:
    return json.dumps({kind: told})
