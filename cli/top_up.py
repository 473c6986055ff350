"""`tollbook topup`: a payment lifts a balance."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, By, Key, login
from cli.output.json_out import print_json
from cli.output.tables import print_fields
from core.ledger.read_accounts import holder_account
from core.movements.top_up import TopUp, top_up

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook topup acme 250 --user ada --key invoice-4711")
def topup(
    mandate: Annotated[str, typer.Argument(help="Id of the mandate.")],
    amount: Annotated[str, typer.Argument(help="CHF above 0, at most nine decimal places.")],
    *,
    key: Key,
    user: Annotated[str | None, typer.Option(help="Id of the user whose account it is; without one the mandate's pool.")] = None,
    description: Annotated[str, typer.Option(help="Shown with the entry.")] = "Top-up",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Credit a payment to the mandate's pool, which it opens, or a user's account, and set its warning threshold anew."""
    asked = {"mandate_id": mandate, "amount": amount, "key": key, "by": by or login(), "description": description}
    with open_database() as database:
        account_id = None if user is None else holder_account(database, acting(), mandate, user).id
        done = top_up(database, acting(), TopUp.read({**asked, "account_id": account_id}))
    if as_json:
        print_json(done)
    else:
        print_fields(asdict(done))
