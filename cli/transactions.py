"""`tollbook transactions`: the ledger, newest first."""

from collections.abc import Collection
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, FromDay, Limit, Mandates, ToDay, day, moment_and_id
from cli.output.json_out import print_json
from cli.output.tables import print_next_page, print_table
from core.asking.paging import Page
from core.database.database import Database
from core.ledger.read_transactions import (
    Transaction,
    movements_of_account,
    transactions_of_account,
    transactions_of_mandates,
    transactions_of_user,
    user_transactions,
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook transactions --mandate acme --user ada --limit 20")
def transactions(
    *,
    mandates: Mandates = None,
    account: Annotated[int | None, typer.Option(help="Id of the account that they are about.")] = None,
    user: Annotated[str | None, typer.Option(help="Id of the user that they are about; with --mandate, in these mandates alone.")] = None,
    movements: Annotated[bool, typer.Option("--movements", help="With --account: those that moved its balance, whomever they are about.")] = False,
    users: Annotated[bool, typer.Option("--users", help="Those of mandates, about users and about pools, by who acted: as without it.")] = False,
    from_day: FromDay = None,
    to_day: ToDay = None,
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
    page = Page(limit, moment_and_id(before, "--before", "`recorded_at,id`"), day(from_day, "--from"), day(to_day, "--to"))
    with open_database() as database:
        found = _found(database, account, user, mandates or None, page, movements=movements, users=users)
    if as_json:
        print_json(found)
    else:
        _print(found, limit)


def _found(
    database: Database, account: int | None, user: str | None, mandates: Collection[str] | None, page: Page, *, movements: bool, users: bool
) -> list[Transaction]:
    if account is not None:
        return (movements_of_account if movements else transactions_of_account)(database, acting(), account, page)
    if user is not None:
        return transactions_of_user(database, acting(), user, mandates, page)
    return (user_transactions if users else transactions_of_mandates)(database, acting(), mandates, page)


def _print(found: list[Transaction], limit: int) -> None:
    columns = ("id", "recorded (UTC)", "occurred (UTC)", "mandate", "about", "by", "type", "reference", "amount CHF", "event", "description")
    rows = [
        (
            t.id,
            t.recorded_at,
            t.occurred_at,
            t.mandate_id,
            t.account_user_id or "pool",
            t.user_id,
            t.transaction_type,
            t.reference_type,
            t.amount,
            t.event_id,
            t.description,
        )
        for t in found
    ]
    print_table(columns, rows, free=("description",))
    print_next_page(found, limit, lambda last: ("--before", f"{last.recorded_at.isoformat()},{last.id}"))
