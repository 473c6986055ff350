"""`tollbook export`: transactions and statistics as CSV or Parquet, for other programs."""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.asking import asking
from cli.options import STANDARD_OUTPUT, AsJson, Force, Mandates
from cli.output.csv_out import write_csv
from cli.output.new_file import Written, new_file, standard_output
from cli.output.parquet_out import require_pyarrow, write_parquet
from cli.output.progress import Show, progress
from cli.output.show import show
from cli.output.tables import cell
from cli.output.text import counted, printable
from cli.ranges import Days, ranged
from core.asking.rights import Actor
from core.database.database import Database
from core.periods import PeriodType
from core.reports.columns import Layout, Row
from core.reports.export import Export, statistics_export, transactions_export

app = typer.Typer(help="The books for other programs, as CSV or Parquet.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    PARQUET = "parquet"


Kind = Annotated[Format, typer.Option("--format", help="Parquet needs the extra `parquet`.")]
Output = Annotated[Path, typer.Option(metavar="FILE|-", help="The new file; - is standard output.")]
Columns = Annotated[Layout, typer.Option(help="Columns of the books, or those of FOCUS 1.3 (FinOps).")]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written into a file: rows, bytes, and the moment of the books."""

    file: str
    format: Format
    rows: int
    bytes: int
    sha256: str
    as_of: datetime


@app.command(epilog="Example: tollbook export transactions --mandate acme --from 2026-01-01 --to 2026-01-31 --output january.csv")
@ranged
def transactions(
    *,
    mandate: Mandates = None,
    output: Output = STANDARD_OUTPUT,
    format_: Kind = Format.CSV,
    days: Days,
    columns: Columns = Layout.BOOKS,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the ledger, by the time of recording; amounts are exact, and all of it is of one moment.

    The file is there when it is whole. --json prints what was written: rows, bytes, SHA-256.
    """
    export = partial(transactions_export, mandate_ids=mandate or None, first=days.first, last=days.last, layout=columns)
    _export(export, output, format_, force=force, as_json=as_json)


@app.command(epilog="Example: tollbook export statistics --by month --format parquet --output months.parquet")
@ranged
def statistics(
    *,
    mandate: Mandates = None,
    output: Output = STANDARD_OUTPUT,
    format_: Kind = Format.CSV,
    by: Annotated[PeriodType, typer.Option(case_sensitive=False, metavar="|".join(PeriodType), help="Period of a row.")] = PeriodType.DAY,
    days: Days,
    columns: Columns = Layout.BOOKS,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the usage statistics of each account by provider, model and feature, of the periods that begin on these days.

    What was recorded in the last minutes may be missing: `as_of` of --json says up to when it is in.
    """
    export = partial(statistics_export, mandate_ids=mandate or None, by=by, first=days.first, last=days.last, layout=columns)
    _export(export, output, format_, force=force, as_json=as_json)


def _export(export: Callable[[Database, Actor], AbstractContextManager[Export]], output: Path, kind: Format, *, force: bool, as_json: bool) -> None:
    to_file = output != STANDARD_OUTPUT
    if as_json and not to_file:
        raise typer.BadParameter("there is none beside the rows on standard output: name --output FILE", param_hint="--json")
    if kind is Format.PARQUET:
        require_pyarrow()
    write = write_parquet if kind is Format.PARQUET else write_csv
    target = new_file(output, force=force) if to_file else standard_output()
    with progress(None) as tell, target as file, asking() as (database, actor), export(database, actor) as found:
        rows = _Counted(found.chunks, tell, file)
        if to_file and kind is Format.CSV:
            file.write(BOM_UTF8)  # without it Excel takes the file for one in its machine's own character set, and spoils every umlaut
        write(file, found.columns, rows)
    if to_file:
        words = f"{counted(rows.count, 'row')} as of {cell(found.as_of)} UTC in {printable(str(output))}"
        show(Exported(str(output), kind, rows.count, file.size, file.sha256.hexdigest(), found.as_of), words, as_json=as_json)


class _Counted:
    """The chunks as they come, counted and shown."""

    def __init__(self, chunks: Iterator[Sequence[Row]], show: Show, file: Written) -> None:
        self._chunks, self._show, self._file = chunks, show, file
        self.count = 0

    def __iter__(self) -> Iterator[Sequence[Row]]:
        for chunk in self._chunks:
            yield chunk
            self.count += len(chunk)
            self._show(self._file.size, lambda: f"wrote {self.count:,} rows, {self._file.size:,} bytes")
