"""`tollbook settings`: billing settings of mandates."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.asking import ask
from cli.context import find_servers
from cli.options import AsJson, By, Limit, Mandate, Offset, login
from cli.output.show import Listing, show, show_rows
from cli.output.tables import cell, print_next_page, print_table
from cli.settings_options import NewModel, given_settings, naming_settings
from core.movements.update_settings import update_settings
from core.settings import read as billing_settings
from core.settings.create import create_settings
from core.settings.get_or_create import get_or_create_settings
from core.settings.model import MandateSettings
from core.settings.read_history import SettingsChange, settings_history

app = typer.Typer(help="Billing settings of mandates.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
AfterMandate = Annotated[str | None, typer.Option("--after", help="Where the page begins: the mandate id of the last row already seen.")]
BeforeVersion = Annotated[int | None, typer.Option("--before", min=1, help="Where the page begins: the version of the last row already seen.")]


_FREE = ("mandate_name", "notification_emails", "billing_address")
_LISTING = Listing(
    ("mandate", "mandate_id"),
    ("name", "mandate_name"),
    ("billing model", "billing_model"),
    ("user credit CHF", "default_user_credit"),
    ("warning %", "warning_threshold_percent"),
    ("block", "block_on_zero_balance"),
    ("time zone", "time_zone"),
    "version",
    of=MandateSettings,
    free=("name",),
    less=("version", "block", "name", "warning %"),
    after=lambda last: ("--after", last.mandate_id),
    hint="they come with a mandate's first usage, or with `tollbook settings create` once `tollbook directory import` made it known",
)


@app.command("show", epilog="Example: tollbook settings show acme")
def show_one(mandate: Mandate, as_json: AsJson = False) -> None:
    """Show a mandate's billing settings; amounts in CHF."""
    show(ask(billing_settings.settings_of, mandate), as_json=as_json, free=_FREE)


@app.command("list", epilog="Example: tollbook settings list --limit 20 --json")
def list_all(limit: Limit = 100, offset: Offset = 0, after: AfterMandate = None, as_json: AsJson = False) -> None:
    """List the billing settings of all mandates by id; with --json every field of each."""
    show_rows(ask(billing_settings.list_settings, limit=limit, offset=offset, after=after), _LISTING, limit, as_json=as_json)


@app.command(epilog="Example: tollbook settings history acme")
def history(mandate: Mandate, limit: Limit = 100, offset: Offset = 0, before: BeforeVersion = None, as_json: AsJson = False) -> None:
    """Show who changed which settings of a mandate, and when, newest first; times in UTC."""
    found = ask(settings_history, mandate, limit=limit, offset=offset, before=before)
    show(found, lambda: _print_history(found, limit), as_json=as_json)


def _print_history(found: Sequence[SettingsChange], limit: int) -> None:
    rows = [
        (change.version, change.changed_at, change.changed_by, field, cell(before), cell(after))
        for change in found
        for field, (before, after) in change.changes.items()
    ]
    print_table(("version", "changed at (UTC)", "by", "setting", "before", "after"), rows, free=("by", "before", "after"))
    print_next_page(found, limit, lambda last: ("--before", str(last.version)))


@app.command(epilog="Example: tollbook settings create acme --billing-model PREPAY_MANDATE --company 'Acme AG'")
@naming_settings
def create(mandate: Mandate, *, named: Any, by: By = "", as_json: AsJson = False) -> None:
    """Make settings for a mandate of the directory that has none yet, and show them. What isn't named gets its default."""
    given = given_settings(named, by)
    show(ask(create_settings, mandate, given, created_by=by, config=find_servers()), as_json=as_json, free=_FREE)


@app.command("get-or-create", epilog="Example: tollbook settings get-or-create acme")
def get_or_create(mandate: Mandate, *, billing_model: NewModel = None, by: By = "", as_json: AsJson = False) -> None:
    """Show a mandate's settings; where it has none, make them with the defaults first. Those that are there stay."""
    found = ask(get_or_create_settings, mandate, billing_model=billing_model, created_by=by, config=find_servers())
    show(found, as_json=as_json, free=_FREE)


@app.command(epilog="Example: tollbook settings update acme --default-user-credit 25 --time-zone Europe/Zurich")
@naming_settings
def update(
    mandate: Mandate,
    *,
    named: Any,
    expected_version: Annotated[int | None, typer.Option(help="Refuse if the settings have another version by now.")] = None,
    by: Annotated[str, typer.Option(callback=login, show_default=False, help="Who changes them, for the history. Default: your login.")] = "",
    as_json: AsJson = False,
) -> None:
    """Change a mandate's billing settings and show them. What isn't named stays.

    Of a mandate that the directory knows, enabled or not, the defaults are made first where there are none.
    """
    given = given_settings(named, by)
    if not given:
        raise typer.BadParameter("name at least one setting to change")
    changed = ask(update_settings, mandate, given, expected_version=expected_version, changed_by=by, config=find_servers())
    show(changed, as_json=as_json, free=_FREE)
