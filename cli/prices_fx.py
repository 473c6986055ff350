"""`tollbook prices fx`: exchange rates."""

from collections.abc import Collection
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, BeforeId, By, Limit, Offset
from cli.output.notes import warn
from cli.output.show import Listing, show, show_rows
from cli.output.text import counted
from cli.ranges import day
from cli.standard_input import FILE
from core.clock import utc_now
from core.prices import read
from core.prices.dated import FxEntry
from core.prices.fx import ImportedFx, import_fx
from core.prices.sources.fx_files import ecb_source, read_ecb, read_fx_csv
from core.prices.terms import FX_AGE_MAX

app = typer.Typer(help="Exchange rates into CHF.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
_DAYS = 400  # as old as usage may be

_LISTING = Listing(
    "id",
    "currency",
    ("day", "rate_date"),
    ("CHF for one", "rate"),
    ("legs", lambda rate: ", ".join(f"{leg['pair']} {leg['rate']}" for leg in rate.legs) or None),
    "source",
    ("written (UTC)", "created_at"),
    ("replaced (UTC)", "replaced_at"),
    of=FxEntry,
    less=("replaced (UTC)", "legs", "written (UTC)"),
    after=lambda last: ("--before", str(last.id)),
)


class FxSource(StrEnum):
    """Where rates are from."""

    ECB = "ecb"
    CSV = "csv"


@app.command("import", epilog="Example: tollbook prices fx import --from ecb")
def import_(
    file: Annotated[Path | None, typer.Argument(**FILE, help="CSV with date, currency and rate: CHF for one unit; - is standard input.")] = None,
    *,
    source: Annotated[FxSource, typer.Option("--from", help="A file, or the bank's history in the installed package.")] = FxSource.CSV,
    first: Annotated[str | None, typer.Option("--first", help="Of the bank's history: from this day on. Default: the last 400 days.")] = None,
    currency: Annotated[list[str] | None, typer.Option(help="Of the bank's history: these. May be given several times. Default: USD, EUR.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Let a rate take the place of another one of its day.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Take exchange rates over, all or none. A call takes the latest rate dated before its own UTC day, at most seven days old.

    What is there already stays. Rates for days after which calls were rated already are told: those calls took an older rate.
    """
    if (source is FxSource.CSV) != (file is not None):
        raise typer.BadParameter("goes with --from csv, and --from csv with it", param_hint="FILE")
    if file is not None:
        rates, name = read_fx_csv(file), f"csv {file.name}"
    else:
        begin = utc_now().date() - timedelta(days=_DAYS) if first is None else day(first, "--first")
        rates, name = read_ecb(begin, tuple(currency or ("USD", "EUR"))), ecb_source()
    imported: ImportedFx = ask(import_fx, rates, source=name, created_by=by, replace=replace)
    for passed in imported.passed:
        warn(
            f"calls after {counted(passed.days, 'day')} from {passed.first} to {passed.last} were rated by older rates of {passed.currency}:"
            " tollbook prices rerate --fx present rates them anew",
        )
    _warn_of_old({rate.currency for rate in rates})
    words = f"rates written: {imported.written} (replaced: {imported.replaced}, rounded: {imported.rounded}); there already: {imported.unchanged}"
    show(imported, words, as_json=as_json)


def _warn_of_old(currencies: Collection[str]) -> None:
    """Says of a currency that what happens now finds no rate, which nobody would notice before events wait for one."""
    for currency, on in sorted(ask(read.status).newest_fx.items()):
        if currency in currencies and (age := (utc_now().date() - on).days) > FX_AGE_MAX:
            warn(
                f"the newest rate of {currency} is of {on}, {age} days old: a call takes a rate that is at most {FX_AGE_MAX}"
                " days old, so calls of now have none (no_fx). Bring newer ones in: tollbook prices fx import FILE.csv (date,currency,rate)",
            )


@app.command("list", epilog="Example: tollbook prices fx list --currency USD --limit 10")
def list_rates(
    *,
    currency: Annotated[str | None, typer.Option(help="Only those of this currency.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    before: BeforeId = None,
    as_json: AsJson = False,
) -> None:
    """List the rates, replaced ones too, the last written first."""
    show_rows(ask(read.fx_rates, currency, limit=limit, offset=offset, before=before), _LISTING, limit, as_json=as_json)
