"""`tollbook settings`: billing settings of mandates."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli.acting import acting
from cli.context import find_servers, open_database
from cli.options import AsJson, By, Limit, Offset, login
from cli.output.json_out import print_json
from cli.output.tables import cell, print_fields, print_next_page, print_table
from cli.settings_options import NewModel, given_settings, naming_settings
from core.movements.update_settings import update_settings
from core.settings import read as billing_settings
from core.settings.create import create_settings
from core.settings.get_or_create import get_or_create_settings
from core.settings.model import MandateSettings
from core.settings.read_history import settings_history

app = typer.Typer(help="Billing settings of mandates.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Mandate = Annotated[str, typer.Argument(help="Id of the mandate.")]
AfterMandate = Annotated[str | None, typer.Option("--after", help="Where the page begins: the mandate id of the last row already seen.")]
BeforeVersion = Annotated[int | None, typer.Option("--before", min=1, help="Where the page begins: the version of the last row already seen.")]


@app.command(epilog="Example: tollbook settings show acme")
def show(mandate: Mandate, as_json: AsJson = False) -> None:
    """Show a mandate's billing settings; amounts in CHF."""
    with open_database() as database:
        _print(billing_settings.settings_of(database, acting(), mandate), as_json=as_json)


@app.command("list", epilog="Example: tollbook settings list --limit 20 --json")
def list_all(limit: Limit = 100, offset: Offset = 0, after: AfterMandate = None, as_json: AsJson = False) -> None:
    """List the billing settings of all mandates by id; with --json every field of each."""
    with open_database() as database:
        found = billing_settings.list_settings(database, acting(), limit=limit, offset=offset, after=after)
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
    print_next_page(found, limit, lambda last: ("--after", last.mandate_id))


@app.command(epilog="Example: tollbook settings history acme")
def history(mandate: Mandate, limit: Limit = 100, offset: Offset = 0, before: BeforeVersion = None, as_json: AsJson = False) -> None:
    """Show who changed which settings of a mandate, and when, newest first; times in UTC."""
    with open_database() as database:
        found = settings_history(database, acting(), mandate, limit=limit, offset=offset, before=before)
    if as_json:
        print_json(found)
        return
    rows = [
        (change.version, change.changed_at, change.changed_by, field, before, after)
        for change in found
        for field, (before, after) in change.changes.items()
    ]
    columns = ("version", "changed at (UTC)", "by", "setting", "before", "after")
    print_table(columns, [(*row[:4], *map(cell, row[4:])) for row in rows], free=("by", "before", "after"))
    print_next_page(found, limit, lambda last: ("--before", str(last.version)))


@app.command(epilog="Example: tollbook settings create acme --billing-model PREPAY_MANDATE --company 'Acme AG'")
@naming_settings
def create(
    mandate: Mandate,
    *,
    named: Any,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Make settings for a mandate of the directory that has none yet, and show them. What isn't named gets its default."""
    given = given_settings(named, by or login())
    config = find_servers()
    with open_database() as database:
        _print(create_settings(database, acting(), mandate, given, created_by=by or login(), config=config), as_json=as_json)


@app.command("get-or-create", epilog="Example: tollbook settings get-or-create acme")
def get_or_create(mandate: Mandate, *, billing_model: NewModel = None, by: By = None, as_json: AsJson = False) -> None:
    """Show a mandate's settings; where it has none, make them with the defaults first. Those that are there stay."""
    config = find_servers()
    with open_database() as database:
        found = get_or_create_settings(database, acting(), mandate, billing_model=billing_model, created_by=by or login(), config=config)
        _print(found, as_json=as_json)


@app.command(epilog="Example: tollbook settings update acme --default-user-credit 25 --time-zone Europe/Zurich")
@naming_settings
def update(
    mandate: Mandate,
    *,
    named: Any,
    expected_version: Annotated[int | None, typer.Option(help="Refuse if the settings have another version by now.")] = None,
    changed_by: Annotated[str | None, typer.Option("--by", help="Who changes them, for the history. Default: your login.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a mandate's billing settings and show them. What isn't named stays.

    Of a mandate that the directory knows, enabled or not, the defaults are made first where there are none.
    """
    by = changed_by or login()
    given = given_settings(named, by)
    if not given:
        raise typer.BadParameter("name at least one setting to change")
    config = find_servers()
    with open_database() as database:
        changed = update_settings(database, acting(), mandate, given, expected_version=expected_version, changed_by=by, config=config)
        _print(changed, as_json=as_json)


def _print(settings: MandateSettings, *, as_json: bool) -> None:
    if as_json:
        print_json(settings)
    else:
        print_fields(asdict(settings), free=("mandate_name", "notification_emails", "billing_address"))
