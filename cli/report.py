"""`tollbook report`: usage and condition of the books as one page."""

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.asking import asking
from cli.options import STANDARD_OUTPUT, AsJson, Force, Mandates
from cli.output.new_file import new_file, standard_output
from cli.output.report_page import Report, report_page
from cli.output.text import printable
from cli.ranges import Days, ranged, zone
from core.asking.rights import is_root
from core.clock import utc_now
from core.json_text import json_text
from core.ledger.read_balances import mandate_balances
from core.reports.overview import overview
from core.verifying.read_findings import list_findings
from core.watching.read import condition

app = typer.Typer(add_completion=False, rich_markup_mode=None)
DAYS_DEFAULT = 30
ROWS_MAX = 10


@app.command(epilog="Example: tollbook report --month 2026-10 --output october.html")
@ranged
def report(
    *,
    days: Days,
    mandates: Mandates = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE|-", help="The new file; - is standard output. Default: tollbook-FROM-TO.html, or .json with --json.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write usage, prices and provider costs of some days (the last 30), and how the books are now, as one page for browsers; it needs no network.

    It reads the stored statistics, not the ledger. Of named mandates, or as another actor than root, it is about usage, balances and caps alone.
    """
    last = days.last or utc_now().astimezone(zone()).date()
    first = days.first or max(last - timedelta(days=DAYS_DEFAULT - 1), date.min)
    path = output or Path(f"tollbook-{first}-{last}.{'json' if as_json else 'html'}")
    target = standard_output() if path == STANDARD_OUTPUT else new_file(path, force=force)
    with target as file, asking() as (database, actor):
        whole = not mandates and is_root(actor)
        found = Report(
            overview(database, actor, mandates or None, first=first, last=last),
            condition(database, actor) if whole else None,
            list_findings(database, actor, limit=ROWS_MAX) if whole else [],
            [] if whole else mandate_balances(database, actor, mandates or None, limit=ROWS_MAX),
        )
        file.write((json_text(found, indent=2) + "\n" if as_json else report_page(found)).encode())
    if path != STANDARD_OUTPUT:
        typer.echo(f"wrote {printable(str(path))}", err=True)
