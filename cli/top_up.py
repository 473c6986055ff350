"""`tollbook topup`: a payment lifts a balance."""

from typing import Annotated

import typer

from cli.asking import asking
from cli.options import AsJson, By, Key, Mandate, OfUser
from cli.output.show import show
from core.ledger.read_accounts import holder_account
from core.movements.top_up import TopUp, top_up

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook topup acme 250 --user ada --key invoice-4711")
def topup(
    mandate: Mandate,
    amount: Annotated[str, typer.Argument(help="CHF above 0, at most nine decimal places.")],
    *,
    key: Key,
    user: OfUser = None,
    description: Annotated[str, typer.Option(help="Shown with the entry.")] = "Top-up",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Credit a payment to the mandate's pool, which it opens, or a user's account, and set its warning threshold anew."""
    asked = {"mandate_id": mandate, "amount": amount, "key": key, "by": by, "description": description}
    with asking() as (database, actor):
        account_id = None if user is None else holder_account(database, actor, mandate, user).id
        done = top_up(database, actor, TopUp.read({**asked, "account_id": account_id}))
    show(done, as_json=as_json)
