"""`tollbook balance`: what pays for usage now, or paid at some moment."""

from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, Mandate
from cli.output.show import show
from cli.ranges import day_or_moment
from core.ledger.read_balance import balance as effective_balance
from core.ledger.read_balance_at import balance_at

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook balance acme ada")
def balance(
    mandate: Mandate,
    user: Annotated[str | None, typer.Argument(help="Id of the user; without one, the balance of the whole mandate.")] = None,
    at: Annotated[
        str | None,
        typer.Option(help="As of the end of this day (2026-01-31, in the mandate's time zone), or of a moment (2026-01-31T12:00:00+01:00)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the balance that pays: the user's own or the mandate's pool, by billing model; amounts in CHF.

    Beside it stand what holds keep of it, and what is available: `-` where nothing bounds it.
    With --at it is the sum of all movements recorded before then, under the billing model of that time, and nothing of holds.
    """
    when = None if at is None else day_or_moment(at, "--at")
    found = ask(effective_balance, mandate, user) if when is None else ask(balance_at, mandate, user, when)
    show(found, as_json=as_json, free=("mandate_name", "user_name"))
