"""`tollbook accounts`: who holds balances."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.context import open_database
from cli.options import AsJson, Limit, Offset
from cli.output.json_out import print_json
from cli.output.tables import print_fields, print_table
from core.views import accounts

app = typer.Typer(
    help="Accounts: one pool per mandate, and one account per user in it.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@app.command("list", epilog="Example: tollbook accounts list acme")
def list_all(
    mandate: Annotated[str, typer.Argument(help="Id of the mandate.")], limit: Limit = 100, offset: Offset = 0, as_json: AsJson = False
) -> None:
    """List a mandate's accounts, the pool first, then its users' by id; with --json every field of each."""
    with open_database() as database:
        found = accounts.accounts_of(database, mandate, limit=limit, offset=offset)
    if as_json:
        print_json(found)
        return
    columns = ("id", "type", "user", "name", "balance CHF", "warns at CHF", "credit limit CHF", "enabled")
    rows = [(a.id, a.account_type, a.user_id, a.user_name, a.balance, a.warning_threshold, a.credit_limit, a.enabled) for a in found]
    print_table(columns, rows, free=("name",))


@app.command(epilog="Example: tollbook accounts show 42")
def show(account: Annotated[int, typer.Argument(help="Id of the account.")], as_json: AsJson = False) -> None:
    """Show one account; amounts in CHF."""
    with open_database() as database:
        found = accounts.account(database, account)
    if as_json:
        print_json(found)
    else:
        print_fields(asdict(found), free=("mandate_name", "user_name"))
