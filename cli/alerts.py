"""`tollbook alerts`: which balances crossed which lines."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, BeforeId, Limit, Moment, Offset, moment
from cli.output.json_out import print_json
from cli.output.tables import print_next_page, print_table
from cli.output.text import counted
from core.alerts.read import list_alerts
from core.alerts.withhold import withhold_alerts
from core.billing import AlertKind

app = typer.Typer(help="Alerts: balances that crossed a line.", add_completion=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True, epilog="Example: tollbook alerts --mandate acme --kind ZERO --since 2026-01-31T00:00:00Z")
def alerts(
    context: typer.Context,
    *,
    mandate: Annotated[str | None, typer.Option(help="Only those of this mandate.")] = None,
    kind: Annotated[AlertKind | None, typer.Option(case_sensitive=False, metavar="|".join(AlertKind), help="Only those of this kind.")] = None,
    since: Annotated[Moment, typer.Option(help="Only those recorded at this time or later: RFC 3339 with offset.")] = None,
    unpublished: Annotated[bool, typer.Option("--unpublished", help="Only those that still wait to be published.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    before: BeforeId = None,
    as_json: AsJson = False,
) -> None:
    """List crossings of warning thresholds, zero and credit limits, and the ways back, newest first; amounts in CHF."""
    if context.invoked_subcommand is not None:
        return
    with open_database() as database:
        found = list_alerts(
            database,
            acting(),
            [mandate] if mandate else None,
            kind=kind,
            since=moment(since),
            waiting=unpublished,
            limit=limit,
            offset=offset,
            before=before,
        )
    if as_json:
        print_json(found)
        return
    columns = ("id", "recorded (UTC)", "mandate", "account", "user", "kind", "recovered", "before CHF", "after CHF", "line CHF", "published (UTC)")
    print_table(
        columns,
        [
            (
                *(a.id, a.recorded_at, a.mandate_id, a.account_id, a.user_id, a.kind, a.recovered, a.balance_before, a.balance_after, a.threshold),
                "withheld" if a.withheld_at else a.published_at,
            )
            for a in found
        ],
    )
    print_next_page(found, limit, lambda last: ("--before", str(last.id)))


@app.command(epilog="Example: tollbook alerts withhold --until 2026-01-31T00:00:00Z")
def withhold(
    until: Annotated[Moment, typer.Option(help="Those recorded before this time: RFC 3339 with offset. Default: now.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Never publish alerts that still wait, for example those from before publishing was switched on. They stay recorded."""
    with open_database() as database:
        withheld = withhold_alerts(database, acting(), moment(until) or datetime.now(UTC))
    if as_json:
        print_json({"withheld": withheld})
    else:
        typer.echo(f"withheld {counted(withheld, 'alert')}")
