"""JSON for programs: one document on standard output."""

import typer

from core.json_text import json_text


def print_json(value: object) -> None:
    """Prints `value` as one JSON document, as `json_text` gives it."""
    typer.echo(json_text(value, indent=2))
