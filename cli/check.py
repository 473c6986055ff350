"""`tollbook check`: whether an AI call may be made."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import find_servers, open_database
from cli.options import AsJson
from cli.output.json_out import print_json
from cli.output.tables import print_fields
from core.checks.check_balance import BalanceQuestion, check_balance

app = typer.Typer(add_completion=False, rich_markup_mode=None)
EXIT_REFUSED = 3


@app.command(epilog="Example: tollbook check acme ada --cost 0.05")
def check(
    mandate: Annotated[str, typer.Argument(help="Id of the mandate.")],
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    *,
    cost: Annotated[str, typer.Option(help="What the call is expected to cost, in CHF.")] = "0",
    as_json: AsJson = False,
) -> None:
    """Ask whether a user may make a call: exit code 0 if so, 3 if not; amounts in CHF.

    As the first usage would, it opens settings, account and grant where they are missing.
    """
    asked = BalanceQuestion.read({"mandate_id": mandate, "user_id": user, "estimated_cost": cost})
    config = find_servers()
    with open_database() as database:
        answer = check_balance(database, acting(), asked, config=config)
    if as_json:
        print_json(answer)
    else:
        print_fields(asdict(answer))
    if not answer.allowed:
        raise typer.Exit(EXIT_REFUSED)
