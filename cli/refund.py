"""`tollbook refund`: an entry is given back."""

from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, By, Key, Mandate
from cli.output.show import show
from core.movements.refund import Refund
from core.movements.refund import refund as refund_entry

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook refund acme 4711 --amount 0.05 --key ticket-4711")
def refund(
    mandate: Mandate,
    transaction: Annotated[int, typer.Argument(help="Id of the usage, top-up or adjustment to give back.")],
    *,
    key: Key,
    amount: Annotated[str | None, typer.Option(help="CHF above 0, at most nine decimal places. Default: all that is left of it.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the books.")] = "Refund",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Give a transaction back, whole or in part, on the account and the balance where it stands.

    All refunds of a transaction together are never more than its amount.
    """
    asked = {"mandate_id": mandate, "transaction_id": transaction, "amount": amount, "reason": reason, "key": key, "by": by}
    show(ask(refund_entry, Refund.read(asked)), as_json=as_json)
