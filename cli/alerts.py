"""`tollbook alerts`: which balances crossed which lines."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, BeforeId, Limit, Moment, Offset, moment
from cli.output.show import Listing, show, show_rows
from cli.output.text import counted
from core.alerts.read import list_alerts
from core.alerts.withhold import withhold_alerts
from core.billing import AlertKind

app = typer.Typer(help="Alerts: balances that crossed a line.", add_completion=False, rich_markup_mode=None)

_LISTING = Listing(
    "id",
    ("recorded (UTC)", "recorded_at"),
    ("mandate", "mandate_id"),
    ("account", "account_id"),
    ("user", "user_id"),
    "kind",
    "recovered",
    ("before CHF", "balance_before"),
    ("after CHF", "balance_after"),
    ("line CHF", "threshold"),
    ("published (UTC)", lambda alert: "withheld" if alert.withheld_at else alert.published_at),
    after=lambda last: ("--before", str(last.id)),
)


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
    mandates = [mandate] if mandate else None
    found = ask(list_alerts, mandates, kind=kind, since=moment(since), waiting=unpublished, limit=limit, offset=offset, before=before)
    show_rows(found, _LISTING, limit, as_json=as_json)


@app.command(epilog="Example: tollbook alerts withhold --until 2026-01-31T00:00:00Z")
def withhold(
    until: Annotated[Moment, typer.Option(help="Those recorded before this time: RFC 3339 with offset. Default: now.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Never publish alerts that still wait, for example those from before publishing was switched on. They stay recorded."""
    withheld = ask(withhold_alerts, moment(until) or datetime.now(UTC))
    show({"withheld": withheld}, f"withheld {counted(withheld, 'alert')}", as_json=as_json)
