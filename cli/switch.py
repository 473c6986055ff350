"""`tollbook switch`: another balance pays from now on."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, By, login
from cli.output.json_out import print_json
from cli.output.tables import print_fields, print_table
from core.billing import BillingModel
from core.movements.plan_switch import SwitchPlan, plan_switch
from core.movements.switch import ModelSwitch, switch_billing_model
from core.settings.read import settings_of

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook switch acme PREPAY_MANDATE --dry-run")
def switch(
    mandate: Annotated[str, typer.Argument(help="Id of the mandate.")],
    billing_model: Annotated[BillingModel, typer.Argument(case_sensitive=False, metavar="|".join(BillingModel), help="Whose balance is to pay.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show who would get what, and change nothing.")] = False,
    key: Annotated[
        str | None,
        typer.Option(
            help="Yours: the same key again changes nothing and shows the first result. Default: made of the settings version and the model."
        ),
    ] = None,
    expected_version: Annotated[
        int | None, typer.Option(min=1, help="Refuse if the settings have another version by now. Default, without a key: the present one.")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Switch a mandate to another billing model and move the balances that go with it, in one transaction.

    From user accounts to the pool, or a positive pool in equal shares to the enabled users. To the present model nothing happens.
    """
    with open_database() as database:
        if key is None:
            expected_version = expected_version or settings_of(database, acting(), mandate).version
            key = f"switch:{expected_version}:{billing_model}"
        fields = {"mandate_id": mandate, "billing_model": billing_model, "expected_version": expected_version, "key": key, "by": by or login()}
        asked = ModelSwitch.read(fields)
        done = plan_switch(database, acting(), asked) if dry_run else switch_billing_model(database, acting(), asked)
    if as_json:
        print_json(done)
    elif isinstance(done, SwitchPlan):
        _print_plan(done)
    else:
        print_fields(asdict(done))


def _print_plan(plan: SwitchPlan) -> None:
    print_fields({name: value for name, value in asdict(plan).items() if name != "legs"})
    if plan.legs:
        columns = ("account", "holder", "gets CHF", "balance then CHF")
        rows = [(leg.account_id or "new", "the pool" if leg.user_id is None else leg.user_id, leg.amount, leg.balance) for leg in plan.legs]
        print_table(columns, rows)
    typer.echo("dry run: nothing was changed")
