"""`tollbook settings`: billing settings of mandates."""

import getpass
from dataclasses import asdict
from typing import Annotated

import typer

from cli.context import find_servers, open_database
from cli.options import AsJson, Limit, Offset
from cli.output.json_out import print_json
from cli.output.tables import print_fields, print_table
from core.domain.billing import BillingModel
from core.operations.update_settings import update_settings
from core.storage.reading.billing_settings import MandateSettings
from core.views import billing_settings

app = typer.Typer(help="Billing settings of mandates.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Mandate = Annotated[str, typer.Argument(help="Id of the mandate.")]


@app.command(epilog="Example: tollbook settings show acme")
def show(mandate: Mandate, as_json: AsJson = False) -> None:
    """Show a mandate's billing settings; amounts in CHF."""
    with open_database() as database:
        _print(billing_settings.settings_of(database, mandate), as_json=as_json)


@app.command("list", epilog="Example: tollbook settings list --limit 20 --json")
def list_all(limit: Limit = 100, offset: Offset = 0, as_json: AsJson = False) -> None:
    """List the billing settings of all mandates by id; amounts in CHF."""
    with open_database() as database:
        found = billing_settings.list_settings(database, limit=limit, offset=offset)
    if as_json:
        print_json(found)
        return
    columns = ("mandate", "name", "billing model", "default user credit", "warning %", "block", "notify", "time zone", "version")
    rows = [
        (
            s.mandate_id,
            s.mandate_name,
            s.billing_model,
            s.default_user_credit,
            s.warning_threshold_percent,
            s.block_on_zero_balance,
            s.notify_on_warning,
            s.time_zone,
            s.version,
        )
        for s in found
    ]
    print_table(columns, rows)


@app.command(epilog="Example: tollbook settings update acme --default-user-credit 25 --time-zone Europe/Zurich")
def update(
    mandate: Mandate,
    *,
    billing_model: Annotated[BillingModel | None, typer.Option(help="Whose balance pays; fixed once the mandate has transactions.")] = None,
    default_user_credit: Annotated[str | None, typer.Option(help="Grant of a new user account, in CHF.")] = None,
    warning_threshold_percent: Annotated[str | None, typer.Option(help="Percent of the balance after a credit at which it warns.")] = None,
    block_on_zero_balance: Annotated[bool | None, typer.Option(help="Whether a balance check refuses what the balance can't pay.")] = None,
    notify_on_warning: Annotated[bool | None, typer.Option(help="Whether warnings are sent.")] = None,
    notification_email: Annotated[list[str] | None, typer.Option(help="Who gets them; repeat it for several; all others are dropped.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="IANA zone of the mandate's days, for usage recorded from now on.")] = None,
    company: Annotated[str | None, typer.Option(help="Billing address; an empty value takes the line out.")] = None,
    street: Annotated[str | None, typer.Option(help="Billing address.")] = None,
    postal_code: Annotated[str | None, typer.Option(help="Billing address.")] = None,
    city: Annotated[str | None, typer.Option(help="Billing address.")] = None,
    country: Annotated[str | None, typer.Option(help="Billing address.")] = None,
    vat_number: Annotated[str | None, typer.Option(help="Billing address.")] = None,
    expected_version: Annotated[int | None, typer.Option(help="Refuse if the settings have another version by now.")] = None,
    changed_by: Annotated[str | None, typer.Option("--by", help="Who changes them, for the history. Default: your login.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a mandate's billing settings and show them. What isn't named stays; the defaults are made first where there are none."""
    changes = {
        "billing_model": billing_model,
        "default_user_credit": default_user_credit,
        "warning_threshold_percent": warning_threshold_percent,
        "block_on_zero_balance": block_on_zero_balance,
        "notify_on_warning": notify_on_warning,
        "notification_emails": notification_email or None,
        "time_zone": time_zone,
    }
    address = {"company": company, "street": street, "postal_code": postal_code, "city": city, "country": country, "vat_number": vat_number}
    given: dict[str, object] = {name: value for name, value in changes.items() if value is not None}
    if given_address := {name: value or None for name, value in address.items() if value is not None}:
        given["billing_address"] = given_address
    if not given:
        raise typer.BadParameter("name at least one setting to change")
    config = find_servers()
    with open_database() as database:
        changed = update_settings(database, mandate, given, expected_version=expected_version, changed_by=changed_by or _login(), config=config)
        _print(changed, as_json=as_json)


def _print(settings: MandateSettings, *, as_json: bool) -> None:
    if as_json:
        print_json(settings)
    else:
        print_fields(asdict(settings))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"
