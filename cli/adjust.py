"""`tollbook adjust`: a balance is set right."""

from typing import Annotated

import typer

from cli.asking import move
from cli.options import AsJson, By, Key, Mandate, OfUser
from cli.output.show import show
from core.movements.adjust import Adjustment
from core.movements.adjust import adjust as adjust_balance

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook adjust acme -12.50 --user ada --reason 'agreed by phone' --key ticket-4711")
def adjust(
    mandate: Mandate,
    amount: Annotated[str, typer.Argument(help="CHF to add, below 0 to take off; at most nine decimal places.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; kept in the books.")],
    key: Key,
    user: OfUser = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Add an amount to the mandate's pool or a user's account, or take it off; the warning threshold stays."""
    show(move(adjust_balance, Adjustment, mandate, user, amount=amount, reason=reason, key=key, by=by), as_json=as_json)
