"""`tollbook amend`: the prices of recorded events set right, and that taken back."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database, process_name
from cli.options import AsJson, By, login
from cli.output.json_out import print_json
from cli.output.progress import progress
from cli.output.tables import print_table
from cli.output.text import counted, printable
from core.database.database import Database
from core.errors import RequestRefused
from core.events.contract import ALIASES
from core.movements.amend_prices import amend_prices, check_prices
from core.movements.amended_prices import PriceTotals
from core.movements.new_price import NewPrice
from core.movements.revert_prices import Reverting, revert_prices
from core.record_files import Columns, FileFormat, read_records, text

app = typer.Typer(add_completion=False, rich_markup_mode=None)

PROBLEMS_SHOWN_MAX = 100
_ALIASES = {alias: name for alias, name in ALIASES.items() if name in NewPrice.model_fields}
_COLUMNS = Columns("a new price", dict.fromkeys(NewPrice.model_fields, text), list(NewPrice.model_fields), aliases=_ALIASES)


@app.command(epilog="Example: tollbook amend prices.csv --key price-list-2026-02 --dry-run")
def amend(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="CSV or JSON Lines with mandate_id, event_id and price_chf of each event.")
    ] = None,
    *,
    key: Annotated[str | None, typer.Option(help="Yours: the same key and file again changes nothing; --revert takes it back.")] = None,
    revert: Annotated[str | None, typer.Option(metavar="KEY", help="Give every event amended under this key its price of before.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would come to.")] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Amend recorded events to the prices in a file: of each, what stands is reversed, and a new debit takes its place.

    Everything is checked first: if an event isn't recorded or has refunds, nothing is amended (exit code 1). What was
    interrupted goes on when the same command is run again. Reverting leaves out, and names, what was amended or refunded since.
    """
    if (file is None) == (revert is None) or (file is None) != (key is None):
        raise typer.BadParameter("name a FILE and its --key, or --revert and the key of before")
    with open_database() as database:
        if revert is not None:
            totals = _revert(database, Reverting(revert, by or login(), process_name("amend"), dry_run))
        else:
            totals = _amend(database, _prices(Path(str(file))), str(key), by or login(), dry_run=dry_run)
    _print(totals, dry_run=dry_run, as_json=as_json)


def _prices(file: Path) -> list[NewPrice]:
    """The prices in the file.

    Raises:
        RequestRefused: a line is none; the first few are named.
    """
    kind = FileFormat.CSV if file.suffix.lower() == ".csv" else FileFormat.JSONL
    prices: list[NewPrice] = []
    problems: list[str] = []
    with file.open("rb") as stream:
        for line in read_records(stream, kind, _COLUMNS):
            if line.fields is None:
                problems.append(f"line {line.number} {line.problem}")
                continue
            try:
                prices.append(NewPrice.read({_ALIASES.get(name, name): value for name, value in line.fields.items()}))
            except RequestRefused as refusal:
                problems.append(f"line {line.number}: {refusal}")
    _refuse(problems, "line", "can't be read, so that none was amended")
    if not prices:
        raise RequestRefused(f"{file.name} holds no price")
    return prices


def _amend(database: Database, prices: Sequence[NewPrice], key: str, by: str, *, dry_run: bool) -> list[PriceTotals]:
    with progress(len(prices)) as show:
        totals = check_prices(database, acting(), prices, key=key, progress=lambda n: show(n, lambda: f"checked {counted(n, 'event')}"))
    if dry_run:
        return totals
    _refuse([problem for mandate in totals for problem in mandate.problems], "event", "can't be amended, so that none was")
    with progress(len(prices)) as show:
        return amend_prices(
            database,
            acting(),
            prices,
            key=key,
            by=by,
            worker=process_name("amend"),
            progress=lambda n: show(n, lambda: f"amended {counted(n, 'event')}"),
        )


def _revert(database: Database, how: Reverting) -> list[PriceTotals]:
    with progress(None) as show:
        return revert_prices(database, acting(), how, lambda n: show(n, lambda: f"reverted {counted(n, 'event')}"))


def _refuse(problems: Sequence[str], thing: str, what: str) -> None:
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        typer.echo(printable(problem), err=True)
    if problems:
        raise RequestRefused(f"{counted(len(problems), thing)} {what}")


def _print(totals: Sequence[PriceTotals], *, dry_run: bool, as_json: bool) -> None:
    problems = [problem for mandate in totals for problem in mandate.problems]
    if as_json:
        print_json({"dry_run": dry_run, "mandates": totals})
    else:
        columns = ("mandate", "events", "amended", "unchanged", "before CHF", "after CHF", "difference CHF")
        rows: list[tuple[object, ...]] = [(t.mandate_id, t.events, t.amended, t.unchanged, t.before, t.after, t.after - t.before) for t in totals]
        if len(rows) > 1:
            before, after = sum((t.before for t in totals), Decimal(0)), sum((t.after for t in totals), Decimal(0))
            counts = (sum(t.events for t in totals), sum(t.amended for t in totals), sum(t.unchanged for t in totals))
            rows.append(("total", *counts, before, after, after - before))
        print_table(columns, rows)
        if dry_run:
            typer.echo("dry run: nothing was written")
        elif totals and all(t.repeated for t in totals):
            typer.echo("repeated: nothing was changed now")
        for problem in problems[:PROBLEMS_SHOWN_MAX]:
            typer.echo(printable(problem), err=True)
    if problems:
        raise typer.Exit(1)
