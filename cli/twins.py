"""`tollbook twins`: usage that may have been sent twice under two ids."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, Limit, Mandates
from cli.output.show import Listing, show_rows
from cli.ranges import Days, ranged
from core.reports.twins import AT_LEAST_DEFAULT, SECONDS_DEFAULT, Twins, twins

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_WEEK = timedelta(days=6)
_LISTING = Listing(
    ("mandate", "mandate_id"),
    ("user", "user_id"),
    "model",
    ("price CHF", "price"),
    ("events", "event_count"),
    ("excess CHF", "excess"),
    ("refunded CHF", "refunded"),
    ("first (UTC)", "first_at"),
    ("last (UTC)", "last_at"),
    ("transaction", "transaction_id"),
    ("event ids", "event_ids"),
    of=Twins,
    free=("event ids",),
    less=("refunded CHF", "last (UTC)", "transaction", "price CHF"),
    after=lambda last: ("--after", last.mandate_id, str(last.transaction_id)),
)


@app.command("twins", epilog="Example: tollbook twins --mandate acme --from 2026-02-01 --to 2026-02-28 --seconds 10")
@ranged
def list_twins(
    *,
    mandates: Mandates = None,
    days: Days,
    seconds: Annotated[int, typer.Option(help="Between two events that follow each other, at most.")] = SECONDS_DEFAULT,
    at_least: Annotated[int, typer.Option(help="Events of a group at least.")] = AT_LEAST_DEFAULT,
    after: Annotated[
        tuple[str, int], typer.Option(metavar="MANDATE ID", help="Where the page begins: mandate and transaction id of the last row already seen.")
    ] = ("", 0),
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List likely twins: usage of one user, alike in model, tokens and price, within seconds of each other, under other ids.

    A producer that makes a new event id for each retry looks like this; so do honest calls that are alike. `excess` is what all
    but one of the events cost. 31 days at most: by default a week up to --to, which is today. With --json all tokens, too.
    """
    last = days.last or _today()
    first = days.first or last - _WEEK
    found = ask(twins, mandates or None, first=first, last=last, seconds=seconds, at_least=at_least, limit=limit, after=after)
    show_rows(found, _LISTING, limit, as_json=as_json)


def _today() -> date:
    """The day that it is where it came first: local days run ahead of UTC."""
    return (datetime.now(UTC) + timedelta(hours=14)).date()
