"""`tollbook check`: whether an AI call may be made."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.asking import ask
from cli.context import find_servers
from cli.options import AsJson, Mandate
from cli.output.caps import ids_text, refusal_text
from cli.output.exits import REFUSED
from cli.output.show import show
from core.checks.check_balance import BalanceQuestion, check_balance

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook check acme ada --cost 0.05 --model gpt-5")
def check(
    mandate: Mandate,
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    *,
    cost: Annotated[str, typer.Option(help="What the call is expected to cost, in CHF.")] = "0",
    provider: Annotated[str | None, typer.Option(help="Whose model it is, for caps on that.")] = None,
    model: Annotated[str | None, typer.Option(help="The model that is called, for caps on that.")] = None,
    feature: Annotated[str | None, typer.Option(help="The feature code of the call, for caps on that.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask whether a user may make a call: exit code 0 if so, 3 if not; amounts in CHF.

    As the first usage would, it opens settings, account and grant where they are missing. Caps on a provider, model or feature that isn't
    named are not judged, and listed.
    """
    about = {"provider": provider, "model": model, "feature_code": feature}
    asked = BalanceQuestion.read({"mandate_id": mandate, "user_id": user, "estimated_cost": cost, **about})
    answer = ask(check_balance, asked, config=find_servers())
    show(answer, asdict(answer) | {"cap": refusal_text(answer.cap), "unjudged_caps": ids_text(answer.unjudged_caps)}, as_json=as_json)
    if not answer.allowed:
        raise typer.Exit(REFUSED)
