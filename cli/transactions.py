"""`tollbook transactions`: the ledger, newest first."""

from datetime import datetime
from typing import Annotated

import typer

from cli.context import open_database
from cli.options import AsJson, Limit
from cli.output.json_out import print_json
from cli.output.tables import print_table
from core.storage.reading.transactions import Cursor
from core.views.transactions import next_page, transactions_of_account, transactions_of_mandate, transactions_of_user

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook transactions --mandate acme --user ada --limit 20")
def transactions(
    *,
    mandate: Annotated[str | None, typer.Option(help="Id of the mandate.")] = None,
    account: Annotated[int | None, typer.Option(help="Id of the account that they are about.")] = None,
    user: Annotated[str | None, typer.Option(help="Id of the user that they are about; with --mandate, in that mandate alone.")] = None,
    before: Annotated[str | None, typer.Option(help="Where the page begins: the `recorded_at,id` of the last transaction already seen.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List transactions, newest first; amounts are signed only for an ADJUSTMENT. With --json every field, names too."""
    if (account is None) == (mandate is None and user is None):
        raise typer.BadParameter("name --account, or --mandate, --user or both")
    cursor = _cursor(before)
    with open_database() as database:
        if account is not None:
            found = transactions_of_account(database, account, limit=limit, before=cursor)
        elif user is not None:
            found = transactions_of_user(database, user, mandate_id=mandate, limit=limit, before=cursor)
        else:
            found = transactions_of_mandate(database, str(mandate), limit=limit, before=cursor)
    if as_json:
        print_json(found)
        return
    columns = ("id", "recorded (UTC)", "occurred (UTC)", "mandate", "user", "type", "reference", "amount CHF", "event", "description")
    rows = [
        (t.id, t.recorded_at, t.occurred_at, t.mandate_id, t.user_id, t.transaction_type, t.reference_type, t.amount, t.event_id, t.description)
        for t in found
    ]
    print_table(columns, rows, free=("description",))
    if len(found) == limit and (following := next_page(found)):
        typer.echo(f"next page: --before {following[0].isoformat()},{following[1]}")


def _cursor(before: str | None) -> Cursor | None:
    if before is None:
        return None
    time, _, transaction_id = before.rpartition(",")
    try:
        cursor = datetime.fromisoformat(time), int(transaction_id)
    except ValueError:
        raise typer.BadParameter("is not `recorded_at,id`, such as 2026-01-31T12:00:00+00:00,42", param_hint="--before") from None
    if cursor[0].tzinfo is None:
        raise typer.BadParameter("the time has no offset", param_hint="--before")
    return cursor
