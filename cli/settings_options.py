"""The options that name billing settings, and what they say together."""

from collections.abc import Mapping
from typing import Annotated

import typer

from core.domain.billing import BillingModel
from core.errors import RequestRefused
from core.operations.update_settings import wrong_settings

NewModel = Annotated[
    BillingModel | None,
    typer.Option(
        case_sensitive=False,
        metavar="|".join(BillingModel),
        help="Whose balance pays; once the mandate has transactions, `tollbook switch` changes it. New settings: PREPAY_USER.",
    ),
]
UserCredit = Annotated[str | None, typer.Option(help="Grant of a new user account, in CHF. New settings: 10.")]
WarningPercent = Annotated[str | None, typer.Option(help="Percent of the balance after a credit at which it warns. New settings: 10.")]
Blocks = Annotated[bool | None, typer.Option(help="Whether a balance check refuses what a prepaid balance can't pay. New settings: yes.")]
Notifies = Annotated[bool | None, typer.Option(help="Whether the mandate's alerts are published. New settings: yes.")]
Emails = Annotated[
    list[str] | None, typer.Option(help="Whom published alerts name; repeat it for several; all others are dropped; '' leaves nobody.")
]
TimeZone = Annotated[
    str | None,
    typer.Option(help="IANA zone of the mandate's days, for usage recorded from now on. New settings: the directory's, else the configured one."),
]
Company = Annotated[str | None, typer.Option(help="Billing address; an empty value takes the line out.")]
AddressLine = Annotated[str | None, typer.Option(help="Billing address.")]


def given_settings(options: Mapping[str, object], emails: list[str] | None, address: Mapping[str, str | None], changed_by: str) -> dict[str, object]:
    """The settings that the options name: what is not None. Of the address, empty lines are taken out.

    Raises:
        RequestRefused: names every wrong option and its value.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if emails:
        given["notification_emails"] = [email for email in emails if email]
    if given_address := {name: value or None for name, value in address.items() if value is not None}:
        given["billing_address"] = given_address
    if wrong := wrong_settings(given, changed_by):
        raise RequestRefused("; ".join(f"{_option(field)}: {problem}" for field, problem in wrong))
    return given


def _option(field: str) -> str:
    """The option that gives a field of the settings, such as `billing_address.vat_number`, or `changed_by`."""
    if field.startswith("notification_emails"):
        return "--notification-email"
    return "--by" if field == "changed_by" else "--" + field.removeprefix("billing_address.").replace("_", "-")
