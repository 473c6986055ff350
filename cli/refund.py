"""`tollbook refund`: an entry is given back."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, By, Key, login
from cli.output.json_out import print_json
from cli.output.tables import print_fields
from core.movements.refund import Refund
from core.movements.refund import refund as refund_entry

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook refund acme 4711 --amount 0.05 --key ticket-4711")
def refund(
    mandate: Annotated[str, typer.Argument(help="Id of the mandate.")],
    transaction: Annotated[int, typer.Argument(help="Id of the usage, top-up or adjustment to give back.")],
    *,
    key: Key,
    amount: Annotated[str | None, typer.Option(help="CHF above 0, at most nine decimal places. Default: all that is left of it.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the books.")] = "Refund",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Give a transaction back, whole or in part, on the account and the balance where it stands.

    All refunds of a transaction together are never more than its amount.
    """
    asked = {"mandate_id": mandate, "transaction_id": transaction, "amount": amount, "reason": reason, "key": key, "by": by or login()}
    with open_database() as database:
        done = refund_entry(database, acting(), Refund.read(asked))
    if as_json:
        print_json(done)
    else:
        print_fields(asdict(done))
