"""`tollbook balance`: what pays for usage now."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.context import open_database
from cli.options import AsJson
from cli.output.json_out import print_json
from cli.output.tables import print_fields
from core.views.balance import balance as effective_balance

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook balance acme ada")
def balance(
    mandate: Annotated[str, typer.Argument(help="Id of the mandate.")],
    user: Annotated[str | None, typer.Argument(help="Id of the user; without one, the balance of the whole mandate.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the balance that pays: the user's own or the mandate's pool, by billing model; amounts in CHF."""
    with open_database() as database:
        found = effective_balance(database, mandate, user)
    if as_json:
        print_json(found)
    else:
        print_fields(asdict(found), free=("mandate_name", "user_name"))
