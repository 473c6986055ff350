"""`tollbook amend`: the prices of recorded events set right, and that taken back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.asking import asking
from cli.context import process_name
from cli.options import AsJson, By
from cli.output.notes import tell
from cli.output.progress import progress
from cli.output.show import Listing, show
from cli.output.text import counted
from core.asking.rights import Actor
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
_LISTING = Listing(
    ("mandate", "mandate_id"),
    "events",
    "amended",
    "unchanged",
    ("before CHF", "before"),
    ("after CHF", "after"),
    ("difference CHF", lambda total: total.after - total.before),
    of=PriceTotals,
)
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
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Amend recorded events to the prices in a file: of each, what stands is reversed, and a new debit takes its place.

    Everything is checked first: if an event isn't recorded or has refunds, nothing is amended (exit code 1). What was
    interrupted goes on when the same command is run again. Reverting leaves out, and names, what was amended or refunded since.
    """
    if (file is None) == (revert is None) or (file is None) != (key is None):
        raise typer.BadParameter("name a FILE and its --key, or --revert and the key of before")
    with asking() as (database, actor):
        if revert is not None:
            totals = _revert(database, actor, Reverting(revert, by, process_name("amend"), dry_run))
        else:
            totals = _amend(database, actor, _prices(Path(str(file))), str(key), by, dry_run=dry_run)
    show({"dry_run": dry_run, "mandates": totals}, lambda: _print(totals, dry_run=dry_run), as_json=as_json, rows=totals, of=PriceTotals)
    if any(mandate.problems for mandate in totals):
        raise typer.Exit(1)


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


def _amend(database: Database, actor: Actor, prices: Sequence[NewPrice], key: str, by: str, *, dry_run: bool) -> list[PriceTotals]:
    with progress(len(prices)) as tell:
        totals = check_prices(database, actor, prices, key=key, progress=lambda n: tell(n, lambda: f"checked {counted(n, 'event')}"))
    if dry_run:
        return totals
    _refuse([problem for mandate in totals for problem in mandate.problems], "event", "can't be amended, so that none was")
    with progress(len(prices)) as tell:
        return amend_prices(
            database,
            actor,
            prices,
            key=key,
            by=by,
            worker=process_name("amend"),
            progress=lambda n: tell(n, lambda: f"amended {counted(n, 'event')}"),
        )


def _revert(database: Database, actor: Actor, how: Reverting) -> list[PriceTotals]:
    with progress(None) as tell:
        return revert_prices(database, actor, how, lambda n: tell(n, lambda: f"reverted {counted(n, 'event')}"))


def _refuse(problems: Sequence[str], thing: str, what: str) -> None:
    _tell(problems)
    if problems:
        raise RequestRefused(f"{counted(len(problems), thing)} {what}")


def _tell(problems: Sequence[str]) -> None:
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        tell("wrong", problem, label="")


def _print(totals: Sequence[PriceTotals], *, dry_run: bool) -> None:
    sums = [sum(column) for column in zip(*(_LISTING.cells(mandate)[1:] for mandate in totals), strict=True)]
    _LISTING.print(totals, last=[("total", *sums)] if len(totals) > 1 else ())
    if dry_run:
        typer.echo("dry run: nothing was written")
    elif totals and all(t.repeated for t in totals):
        typer.echo("repeated: nothing was changed now")
    _tell([problem for mandate in totals for problem in mandate.problems])
