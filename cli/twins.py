"""`tollbook twins`: usage that may have been sent twice under two ids."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, Limit, Mandates, ToDay, day
from cli.output.json_out import print_json
from cli.output.tables import print_next_page, print_table
from core.reports.twins import AT_LEAST_DEFAULT, SECONDS_DEFAULT, twins

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_WEEK = timedelta(days=6)
_COLUMNS = ("mandate", "user", "model", "price CHF", "events", "excess CHF", "refunded CHF", "first (UTC)", "last (UTC)", "transaction", "event ids")


@app.command("twins", epilog="Example: tollbook twins --mandate acme --from 2026-02-01 --to 2026-02-28 --seconds 10")
def list_twins(
    *,
    mandates: Mandates = None,
    from_day: Annotated[str | None, typer.Option("--from", help="From this local day on. Default: a week up to --to.")] = None,
    to_day: ToDay = None,
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
    but one of the events cost. 31 days at most; --to is today by default. With --json all tokens, too.
    """
    last = day(to_day, "--to") or _today()
    first = day(from_day, "--from") or last - _WEEK
    with open_database() as database:
        found = twins(database, acting(), mandates or None, first=first, last=last, seconds=seconds, at_least=at_least, limit=limit, after=after)
    if as_json:
        print_json(found)
        return
    rows = [
        (t.mandate_id, t.user_id, t.model, t.price, t.event_count, t.excess, t.refunded, t.first_at, t.last_at, t.transaction_id, _ids(t.event_ids))
        for t in found
    ]
    print_table(_COLUMNS, rows, free=("event ids",))
    print_next_page(found, limit, lambda t: ("--after", t.mandate_id, str(t.transaction_id)))


def _ids(event_ids: list[str]) -> str:
    return ", ".join(event_ids)


def _today() -> date:
    """The day that it is where it came first: local days run ahead of UTC."""
    return (datetime.now(UTC) + timedelta(hours=14)).date()
