"""`tollbook check`: whether an AI call may be made."""

from typing import Annotated

import typer

from cli.asking import ask
from cli.context import find_servers
from cli.options import AsJson, Mandate
from cli.output.show import show
from core.checks.check_balance import BalanceQuestion, check_balance

app = typer.Typer(add_completion=False, rich_markup_mode=None)
EXIT_REFUSED = 3


@app.command(epilog="Example: tollbook check acme ada --cost 0.05")
def check(
    mandate: Mandate,
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    *,
    cost: Annotated[str, typer.Option(help="What the call is expected to cost, in CHF.")] = "0",
    as_json: AsJson = False,
) -> None:
    """Ask whether a user may make a call: exit code 0 if so, 3 if not; amounts in CHF.

    As the first usage would, it opens settings, account and grant where they are missing.
    """
    asked = BalanceQuestion.read({"mandate_id": mandate, "user_id": user, "estimated_cost": cost})
    answer = ask(check_balance, asked, config=find_servers())
    show(answer, as_json=as_json)
    if not answer.allowed:
        raise typer.Exit(EXIT_REFUSED)
