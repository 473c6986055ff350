"""Usage events out of JSONL or CSV; in CSV, token counts have columns of their own and go into `usage`."""

from collections.abc import Iterator
from typing import BinaryIO

from core.events.canonical import is_plain
from core.events.contract import ALIASES, EventContract, TokenCounts
from core.record_files import Columns, FileFormat, RecordLine, read_records, text, whole_number

_TOKENS = frozenset(TokenCounts.model_fields)
_FIELDS = frozenset(EventContract.model_fields) - {"usage"}
_EVENT_COLUMNS = Columns(
    what="the contract",
    values={name: whole_number if name in _TOKENS | {"schema_version"} else text for name in _FIELDS | _TOKENS},
    required=[name for name, field in EventContract.model_fields.items() if field.is_required()],
    inside=dict.fromkeys(_TOKENS, "usage"),
    aliases=ALIASES,
)


def read_events(file: BinaryIO, kind: FileFormat) -> Iterator[RecordLine]:
    """Each line that isn't blank, as an event or with what is wrong with it; memory is bounded by the longest line.

    An event with canonical names and its price in text comes as it stands.

    Raises:
        RequestRefused: a CSV header with an unknown, repeated or missing column.
        OSError: the file can't be read.
    """
    return read_records(file, kind, _EVENT_COLUMNS, as_it_stands=is_plain)
