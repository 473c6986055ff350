"""Usage events out of JSONL or CSV; in CSV, token counts have columns of their own and go into `usage`."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from core.events.canonical import read_canonical
from core.events.contract import ALIASES, EventContract, TokenCounts
from core.record_files import Columns, FileFormat, RecordLine, read_records, text, whole_number

_TOKENS = frozenset(TokenCounts.model_fields)
_FIELDS = frozenset(EventContract.model_fields) - {"usage"}
_PRICED_IN_TEXT = re.compile(rb'"price_chf"\s*:\s*"')
_EVENT_COLUMNS = Columns(
    what="the contract",
    values={name: whole_number if name in _TOKENS | {"schema_version"} else text for name in _FIELDS | _TOKENS},
    required=[name for name, field in EventContract.model_fields.items() if field.is_required()],
    inside=dict.fromkeys(_TOKENS, "usage"),
    aliases=ALIASES,
)


def read_events(file: BinaryIO, kind: FileFormat) -> Iterator[RecordLine]:
    """Each line that isn't blank, as an event or with what is wrong with it; memory is bounded by the longest line.

    An event that keeps the contract to the letter comes as it stands.

    Raises:
        RequestRefused: a CSV header with an unknown, repeated or missing column.
        OSError: the file can't be read.
    """
    return read_records(file, kind, _EVENT_COLUMNS, as_it_stands=_is_canonical)


def _is_canonical(line: bytes) -> bool:
    """Whether nothing about the line would be written otherwise: a price that is a number becomes a text on its way."""
    return _PRICED_IN_TEXT.search(line) is not None and read_canonical(line) is not None
