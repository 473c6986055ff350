"""Usage events out of JSONL or CSV; in CSV, which says version 1, token counts have columns of their own and go into `usage`."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from core.events.canonical import is_plain
from core.events.contract import ALIASES, EventContract, TokenCounts
from core.record_files import Columns, FileFormat, RecordLine, read_records, text, whole_number

_TOKENS = frozenset(TokenCounts.model_fields)
_FIELDS = frozenset(EventContract.model_fields) - {"usage"}
_EVENT_COLUMNS = Columns(
    what="the contract as CSV has it, its version 1 (usage objects and what goes with them stand in JSONL)",
    values={name: whole_number if name in _TOKENS | {"schema_version"} else text for name in _FIELDS | _TOKENS},
    required=[name for name, field in EventContract.model_fields.items() if field.is_required()],
    inside=dict.fromkeys(_TOKENS, "usage"),
    aliases={alias: name for alias, name in ALIASES.items() if name in _FIELDS},
)
_fields_in = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_events(file: BinaryIO, kind: FileFormat) -> Iterator[RecordLine]:
    """Each line that isn't blank, as an event or with what is wrong with it; memory is bounded by the longest line.

    An event with canonical names and its price in text comes as it stands.

    Raises:
        RequestRefused: a CSV header with an unknown, repeated or missing column.
        OSError: the file can't be read.
    """
    return read_records(file, kind, _EVENT_COLUMNS, as_it_stands=is_plain)


def event_body(line: RecordLine) -> bytes:
    """The JSON of a line's event: prices as text, so that they are no float on their way, and a usage object exactly as it stands."""
    if not line.fields:
        return line.raw
    return _as_written(line.raw, line.fields) if b"ialect" in line.raw else json.dumps(line.fields).encode()


def _as_written(raw: bytes | msgspec.Raw, fields: dict[str, Any]) -> bytes:
    """The object of `raw`; of its own fields those that are numbers with a fraction are texts, as they are in `fields`."""
    written: dict[str, Any] = _fields_in(raw)
    for name, value in fields.items():
        if isinstance(value, str) and not bytes(written[name]).startswith(b'"'):
            written[name] = value
        elif name == "data" and isinstance(value, dict):  # of a CloudEvent
            written[name] = msgspec.Raw(_as_written(written[name], value))
    return msgspec.json.encode(written)
