"""JSON for programs: decimals as strings, times in ISO 8601, bytes in base64, in plain ASCII."""

import base64
import json
from dataclasses import asdict, is_dataclass
from datetime import date
from decimal import Decimal
from pathlib import PurePath


def json_text(value: object, *, indent: int | None = None) -> str:
    """`value` as one JSON document; records by field name.

    Raises:
        TypeError: it holds something that has no JSON form.
    """
    return json.dumps(value, default=_plain, indent=indent)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no JSON form")
