"""`tollbook switch`: another balance pays from now on."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.asking import asking
from cli.confirming import Yes, asks, confirm
from cli.options import AsJson, By, Mandate
from cli.output.show import Listing, show
from cli.output.tables import print_fields
from core.billing import BillingModel
from core.movements.plan_switch import PlannedLeg, SwitchPlan, plan_switch
from core.movements.switch import ModelSwitch, switch_billing_model
from core.settings.read import settings_of

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_LEGS = Listing(
    ("account", lambda leg: leg.account_id or "new"),
    ("holder", lambda leg: "the pool" if leg.user_id is None else leg.user_id),
    ("gets CHF", "amount"),
    ("balance then CHF", "balance"),
)


@app.command(epilog="Example: tollbook switch acme PREPAY_MANDATE --dry-run")
def switch(
    mandate: Mandate,
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
    by: By = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Switch a mandate to another billing model and move the balances that go with it, in one transaction.

    From user accounts to the pool, or a positive pool in equal shares to the enabled users. To the present model nothing happens.
    """
    with asking() as (database, actor):
        if key is None:
            expected_version = expected_version or settings_of(database, actor, mandate).version
            key = f"switch:{expected_version}:{billing_model}"
        fields = {"mandate_id": mandate, "billing_model": billing_model, "expected_version": expected_version, "key": key, "by": by}
        asked = ModelSwitch.read(fields)
        if dry_run:
            plan = plan_switch(database, actor, asked)
            show(plan, lambda: _print_plan(plan), "dry run: nothing was changed", as_json=as_json, rows=plan.legs, of=PlannedLeg)
        else:
            if asks(yes=yes):
                _print_plan(plan_switch(database, actor, asked))
            confirm(f"switch {mandate} to {billing_model}, and move its balances so?", yes=yes)
            show(switch_billing_model(database, actor, asked), as_json=as_json)


def _print_plan(plan: SwitchPlan) -> None:
    print_fields({name: value for name, value in asdict(plan).items() if name != "legs"})
    if plan.legs:
        _LEGS.print(plan.legs)
