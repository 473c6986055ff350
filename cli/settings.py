"""`tollbook settings`: billing settings of mandates."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from cli.context import find_servers, open_database
from cli.options import AsJson, Limit, Offset, login
from cli.output.json_out import print_json
from cli.output.tables import print_fields, print_table
from core.domain.billing import BillingModel
from core.errors import RequestRefused
from core.operations.update_settings import update_settings, wrong_settings
from core.storage.reading.billing_settings import MandateSettings
from core.views import billing_settings

app = typer.Typer(help="Billing settings of mandates.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Mandate = Annotated[str, typer.Argument(help="Id of the mandate.")]
Fields = Mapping[str, object]
NewModel = Annotated[
    BillingModel | None,
    typer.Option(
        case_sensitive=False,
        metavar="|".join(BillingModel),
        help="Whose balance pays; once the mandate has transactions, `tollbook switch` changes it. New settings: PREPAY_USER.",
    ),
]
_STORED = "(stored; nothing acts on it yet)"


@app.command(epilog="Example: tollbook settings show acme")
def show(mandate: Mandate, as_json: AsJson = False) -> None:
    """Show a mandate's billing settings; amounts in CHF."""
    with open_database() as database:
        _print(billing_settings.settings_of(database, mandate), as_json=as_json)


@app.command("list", epilog="Example: tollbook settings list --limit 20 --json")
def list_all(limit: Limit = 100, offset: Offset = 0, as_json: AsJson = False) -> None:
    """List the billing settings of all mandates by id; with --json every field of each."""
    with open_database() as database:
        found = billing_settings.list_settings(database, limit=limit, offset=offset)
    if as_json:
        print_json(found)
        return
    columns = ("mandate", "name", "billing model", "user credit CHF", "warning %", "block", "time zone", "version")
    rows = [
        (
            s.mandate_id,
            s.mandate_name,
            s.billing_model,
            s.default_user_credit,
            s.warning_threshold_percent,
            s.block_on_zero_balance,
            s.time_zone,
            s.version,
        )
        for s in found
    ]
    print_table(columns, rows, free=("name",))


@app.command(epilog="Example: tollbook settings update acme --default-user-credit 25 --time-zone Europe/Zurich")
def update(
    mandate: Mandate,
    *,
    billing_model: NewModel = None,
    default_user_credit: Annotated[str | None, typer.Option(help="Grant of a new user account, in CHF. New settings: 10.")] = None,
    warning_threshold_percent: Annotated[
        str | None, typer.Option(help="Percent of the balance after a credit at which it warns. New settings: 10.")
    ] = None,
    block_on_zero_balance: Annotated[
        bool | None, typer.Option(help=f"Whether a balance check refuses what the balance can't pay {_STORED}. New settings: yes.")
    ] = None,
    notify_on_warning: Annotated[bool | None, typer.Option(help=f"Whether warnings are sent {_STORED}. New settings: yes.")] = None,
    notification_email: Annotated[
        list[str] | None, typer.Option(help=f"Who gets them; repeat it for several; all others are dropped; '' leaves nobody {_STORED}.")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="IANA zone of the mandate's days, for usage recorded from now on. New settings: the directory's, else the configured one."),
    ] = None,
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
    """Change a mandate's billing settings and show them. What isn't named stays.

    Of a mandate that the directory knows, enabled or not, the defaults are made first where there are none.
    """
    changes = {
        "billing_model": billing_model,
        "default_user_credit": default_user_credit,
        "warning_threshold_percent": warning_threshold_percent,
        "block_on_zero_balance": block_on_zero_balance,
        "notify_on_warning": notify_on_warning,
        "notification_emails": [email for email in notification_email if email] if notification_email else None,
        "time_zone": time_zone,
    }
    address = {"company": company, "street": street, "postal_code": postal_code, "city": city, "country": country, "vat_number": vat_number}
    _change(mandate, changes, address, expected_version, changed_by or login(), as_json=as_json)


def _change(
    mandate: str, changes: Fields, address: Mapping[str, str | None], expected_version: int | None, changed_by: str, *, as_json: bool
) -> None:
    """Changes what is not None; of the address, empty lines are taken out."""
    given = {name: value for name, value in changes.items() if value is not None}
    if given_address := {name: value or None for name, value in address.items() if value is not None}:
        given["billing_address"] = given_address
    if not given:
        raise typer.BadParameter("name at least one setting to change")
    if wrong := wrong_settings(given, changed_by):
        raise RequestRefused("; ".join(f"{_option(field)}: {problem}" for field, problem in wrong))
    config = find_servers()
    with open_database() as database:
        changed = update_settings(database, mandate, given, expected_version=expected_version, changed_by=changed_by, config=config)
        _print(changed, as_json=as_json)


def _option(field: str) -> str:
    """The option that gives a field of the settings, such as `billing_address.vat_number`, or `changed_by`."""
    if field.startswith("notification_emails"):
        return "--notification-email"
    return "--by" if field == "changed_by" else "--" + field.removeprefix("billing_address.").replace("_", "-")


def _print(settings: MandateSettings, *, as_json: bool) -> None:
    if as_json:
        print_json(settings)
    else:
        print_fields(asdict(settings), free=("mandate_name", "notification_emails", "billing_address"))
