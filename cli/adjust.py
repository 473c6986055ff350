"""`tollbook adjust`: a balance is set right."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, By, Key, login
from cli.output.json_out import print_json
from cli.output.tables import print_fields
from core.ledger.read_accounts import holder_account
from core.movements.adjust import Adjustment
from core.movements.adjust import adjust as adjust_balance

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(
    epilog="Example: tollbook adjust acme -12.50 --user ada --reason 'agreed by phone' --key ticket-4711",
    context_settings={"ignore_unknown_options": True},
)
def adjust(
    mandate: Annotated[str, typer.Argument(help="Id of the mandate.")],
    amount: Annotated[str, typer.Argument(help="CHF to add, below 0 to take off; at most nine decimal places.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; kept in the books.")],
    key: Key,
    user: Annotated[str | None, typer.Option(help="Id of the user whose account it is; without one the mandate's pool.")] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Add an amount to the mandate's pool or a user's account, or take it off; the warning threshold stays."""
    asked = {"mandate_id": mandate, "amount": amount, "reason": reason, "key": key, "by": by or login()}
    with open_database() as database:
        account = holder_account(database, acting(), mandate, user)
        done = adjust_balance(database, acting(), Adjustment.read({**asked, "account_id": account.id}))
    if as_json:
        print_json(done)
    else:
        print_fields(asdict(done))
