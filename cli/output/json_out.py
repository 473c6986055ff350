"""JSON for programs: one document on standard output, in plain ASCII."""

import base64
import json
from dataclasses import asdict, is_dataclass
from datetime import date
from decimal import Decimal

import typer


def print_json(value: object) -> None:
    """Prints `value` as one JSON document: decimals as strings, times in ISO 8601, bytes in base64, records by field name."""
    typer.echo(json.dumps(value, default=_plain, indent=2))


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no JSON form")
