"""`tollbook alerts`: which balances crossed which lines."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.asking import ask
from cli.confirming import Yes, confirm
from cli.options import AsJson, BeforeId, Limit, Moment, Offset
from cli.output.show import Listing, show, show_rows
from cli.output.text import counted
from cli.ranges import Moments, moment, ranged
from core.alerts.read import Alert, list_alerts
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
    of=Alert,
    less=("published (UTC)", "recovered", "id", "before CHF", "account"),
    after=lambda last: ("--before", str(last.id)),
)


@app.callback(invoke_without_command=True, epilog="Example: tollbook alerts --mandate acme --kind ZERO --from 2026-01-31")
@ranged
def alerts(
    context: typer.Context,
    *,
    mandate: Annotated[str | None, typer.Option(help="Only those of this mandate.")] = None,
    kind: Annotated[AlertKind | None, typer.Option(case_sensitive=False, metavar="|".join(AlertKind), help="Only those of this kind.")] = None,
    times: Moments,
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
    found = ask(
        list_alerts, mandates, kind=kind, since=times.since, until=times.until, waiting=unpublished, limit=limit, offset=offset, before=before
    )
    show_rows(found, _LISTING, limit, as_json=as_json)


@app.command(epilog="Example: tollbook alerts withhold --until 2026-01-31T00:00:00Z")
def withhold(
    until: Annotated[Moment, typer.Option(help="Those recorded before this time, or before this day begins. Default: now.")] = None,
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Never publish alerts that still wait, for example those from before publishing was switched on. They stay recorded."""
    before = datetime.now(UTC) if until is None else moment(until, "--until")
    confirm(f"never publish the alerts from before {before.isoformat(timespec='seconds')} that still wait?", yes=yes)
    withheld = ask(withhold_alerts, before)
    show({"withheld": withheld}, f"withheld {counted(withheld, 'alert')}", as_json=as_json)
