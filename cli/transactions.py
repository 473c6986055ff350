"""`tollbook transactions`: the ledger, newest first."""

from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, Limit, Mandates, moment_and_id
from cli.output.show import Listing, show_rows
from cli.ranges import Days, ranged
from core.asking.paging import Page
from core.ledger.read_transactions import (
    Transaction,
    movements_of_account,
    transactions_of_account,
    transactions_of_mandates,
    transactions_of_user,
    user_transactions,
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_LISTING = Listing(
    "id",
    ("recorded (UTC)", "recorded_at"),
    ("occurred (UTC)", "occurred_at"),
    ("mandate", "mandate_id"),
    ("about", lambda entry: entry.account_user_id or "pool"),
    ("by", "user_id"),
    ("type", "transaction_type"),
    ("reference", "reference_type"),
    ("amount CHF", "amount"),
    ("event", "event_id"),
    "description",
    of=Transaction,
    free=("description",),
    less=("occurred (UTC)", "reference", "event", "by"),
    after=lambda last: ("--before", f"{last.recorded_at.isoformat()},{last.id}"),
)


@app.command(epilog="Example: tollbook transactions --mandate acme --user ada --limit 20")
@ranged
def transactions(
    *,
    mandates: Mandates = None,
    account: Annotated[int | None, typer.Option(help="Id of the account that they are about.")] = None,
    user: Annotated[str | None, typer.Option(help="Id of the user that they are about; with --mandate, in these mandates alone.")] = None,
    movements: Annotated[bool, typer.Option("--movements", help="With --account: those that moved its balance, whomever they are about.")] = False,
    users: Annotated[bool, typer.Option("--users", help="Those of mandates, about users and about pools, by who acted: as without it.")] = False,
    days: Days,
    before: Annotated[str | None, typer.Option(help="Where the page begins: the `recorded_at,id` of the last transaction already seen.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List transactions, newest first; amounts are signed only for an ADJUSTMENT. With --json every field, names too.

    Without --account, --user and --mandate it is those of all mandates.
    """
    if account is not None and (mandates or user is not None or users):
        raise typer.BadParameter("name --account, or --mandate, --user and --users")
    if movements and account is None:
        raise typer.BadParameter("--movements are those of an account: name --account")
    page = Page(limit, moment_and_id(before, "--before", "`recorded_at,id`"), days.first, days.last)
    if account is not None:
        found = ask(movements_of_account if movements else transactions_of_account, account, page)
    elif user is not None:
        found = ask(transactions_of_user, user, mandates or None, page)
    else:
        found = ask(user_transactions if users else transactions_of_mandates, mandates or None, page)
    show_rows(found, _LISTING, limit, as_json=as_json)
