"""The options that name billing settings, and what they say together."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

from core.billing import BillingModel
from core.errors import RequestRefused
from core.settings.changes import wrong_settings
from core.settings.model import SETTINGS, BillingAddress

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


OPTIONS: dict[str, Any] = {
    "billing_model": NewModel,
    "default_user_credit": UserCredit,
    "warning_threshold_percent": WarningPercent,
    "block_on_zero_balance": Blocks,
    "notify_on_warning": Notifies,
    "notification_email": Emails,
    "time_zone": TimeZone,
    **{line: Company if line == "company" else AddressLine for line in BillingAddress.model_fields},
}


def naming_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `named` comes from `OPTIONS`: typer, which reads the signature, sees these in its place."""
    signature = inspect.signature(command)
    options = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in OPTIONS.items()]
    parameters = [p for parameter in signature.parameters.values() for p in (options if parameter.name == "named" else [parameter])]

    @wraps(command)
    def run(*args: Any, **given: Any) -> None:
        command(*args, named={name: given.pop(name) for name in OPTIONS}, **given)

    vars(run).update(__signature__=signature.replace(parameters=parameters), __annotations__={p.name: p.annotation for p in parameters})
    return run


def given_settings(named: Mapping[str, Any], changed_by: str) -> dict[str, object]:
    """The settings that the options name: what is not None. Of the address, empty lines are taken out.

    Raises:
        RequestRefused: names every wrong option and its value.
    """
    given = {name: value for name, value in named.items() if value is not None and name in SETTINGS}
    if emails := named["notification_email"]:
        given["notification_emails"] = [email for email in emails if email]
    if address := {line: named[line] or None for line in BillingAddress.model_fields if named[line] is not None}:
        given["billing_address"] = address
    if wrong := wrong_settings(given, changed_by):
        raise RequestRefused("; ".join(f"{_option(field)}: {problem}" for field, problem in wrong))
    return given


def _option(field: str) -> str:
    """The option that gives a field of the settings, such as `billing_address.vat_number`, or `changed_by`."""
    if field.startswith("notification_emails"):
        return "--notification-email"
    return "--by" if field == "changed_by" else "--" + field.removeprefix("billing_address.").replace("_", "-")
