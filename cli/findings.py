"""`tollbook findings`: what the nightly check has found."""

from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, Limit, Offset, moment_and_id
from cli.output.show import Listing, show_rows
from core.verifying.read_findings import Finding, list_findings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_LISTING = Listing(
    "invariant",
    "subject",
    ("found", lambda finding: "; ".join(finding.found)),
    ("first seen (UTC)", "first_seen_at"),
    ("last seen (UTC)", "last_seen_at"),
    ("resolved (UTC)", "resolved_at"),
    ("resolved by", "resolved_by"),
    "resolution",
    of=Finding,
    free=("subject", "found", "resolution"),
    less=("resolution", "resolved by", "resolved (UTC)", "first seen (UTC)"),
    hint="nothing breaks an invariant, as far as the latest `tollbook reconcile` saw",
    after=lambda last: ("--before", f"{last.last_seen_at.isoformat()},{last.id}"),
)


@app.command(epilog="Example: tollbook findings --invariant I3 --resolved")
def findings(
    invariant: Annotated[str | None, typer.Option(help="Only what broke this one, such as I3.")] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Also what is gone or was decided about.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    before: Annotated[str | None, typer.Option(help="Where the page begins: the `last_seen_at,id` of the last row already seen.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what broke an invariant and stands, the findings seen last first: when it was seen first and last, and what it is.

    `tollbook reconcile` looks now whether it is still there.
    """
    cursor = moment_and_id(before, "--before", "`last_seen_at,id`")
    found = ask(list_findings, invariant=invariant, with_resolved=resolved, limit=limit, offset=offset, before=cursor)
    show_rows(found, _LISTING, limit, as_json=as_json)
