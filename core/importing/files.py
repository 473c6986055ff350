"""The files of an import: settings, accounts and transactions in one folder, each as CSV or JSONL."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import RequestRefused
from core.events.model import EVENT_TEXTS, TOKEN_KINDS
from core.printable import shown
from core.record_files import Columns, FileFormat, RecordLine, listed, read_records, text, whole_number, yes_or_no
from core.settings.model import SETTING_TYPES, BillingAddress

_ADDRESS = tuple(BillingAddress.model_fields)
_CELLS: dict[object, Callable[[str], object]] = {bool: yes_or_no, list[str]: listed}  # what isn't text, by the type of the setting

COLUMNS = {
    "settings": Columns(
        what="billing settings",
        values={
            **dict.fromkeys(("mandate_id", *_ADDRESS), text),
            **{name: _CELLS.get(kind, text) for name, kind in SETTING_TYPES.items() if name != "billing_address"},
        },
        required=("mandate_id", "billing_model"),
        inside=dict.fromkeys(_ADDRESS, "billing_address"),
    ),
    "accounts": Columns(
        what="an account",
        values={**dict.fromkeys(("mandate_id", "user_id", "balance", "credit_limit", "warning_threshold"), text), "enabled": yes_or_no},
        required=("mandate_id", "user_id", "balance"),
    ),
    "transactions": Columns(
        what="an entry",
        values={
            **dict.fromkeys(("id", "event_id", "mandate_id", "user_id", "transaction_type", "reference_type", "amount", "occurred_at"), text),
            **dict.fromkeys(("created_by_user_id", *EVENT_TEXTS), text),
            **dict.fromkeys(TOKEN_KINDS, whole_number),
        },
        required=("mandate_id", "user_id", "transaction_type", "reference_type", "amount", "occurred_at"),
        inside=dict.fromkeys(TOKEN_KINDS, "usage"),
    ),
}


@dataclass(frozen=True, slots=True)
class BookFile:
    """One file of an import."""

    path: Path
    columns: Columns

    @property
    def name(self) -> str:
        """Its name in its folder."""
        return self.path.name

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.path.stat().st_size

    def lines(self) -> Iterator[RecordLine]:
        """Its records one after the other, from the beginning at each call.

        Raises:
            RequestRefused: a CSV header with an unknown, repeated or missing column.
            OSError: the file can't be read.
        """
        with self.path.open("rb") as file:
            yield from read_records(file, FileFormat(self.path.suffix[1:]), self.columns)


@dataclass(frozen=True, slots=True)
class BookFiles:
    """What there is to import; what isn't there is none."""

    settings: BookFile | None = None
    accounts: BookFile | None = None
    transactions: BookFile | None = None


def find_book_files(folder: Path) -> BookFiles:
    """The files of the folder that an import reads; files of other kinds may lie beside them.

    Raises:
        RequestRefused: there is none, one thing is there twice, or a CSV or JSONL file is named otherwise.
        OSError: the folder can't be read.
    """
    suffixes = {f".{kind}" for kind in FileFormat}
    found: dict[str, BookFile] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix in suffixes and p.is_file()):
        if path.stem not in COLUMNS:
            raise RequestRefused(f"{shown(path.name)} is none of {', '.join(COLUMNS)}, each .csv or .jsonl: rename it or take it away")
        if path.stem in found:
            raise RequestRefused(f"{found[path.stem].name} and {path.name} are both there: leave one")
        found[path.stem] = BookFile(path, COLUMNS[path.stem])
    if not found:
        raise RequestRefused(f"{shown(str(folder))} has none of {', '.join(COLUMNS)}, each .csv or .jsonl")
    return BookFiles(**found)
