"""`tollbook findings`: what the nightly check has found."""

from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, Limit, Offset, moment_and_id
from cli.output.json_out import print_json
from cli.output.tables import print_next_page, print_table
from core.verifying.read_findings import list_findings

app = typer.Typer(add_completion=False, rich_markup_mode=None)


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
    with open_database() as database:
        cursor = moment_and_id(before, "--before", "`last_seen_at,id`")
        found = list_findings(database, acting(), invariant=invariant, with_resolved=resolved, limit=limit, offset=offset, before=cursor)
    if as_json:
        print_json(found)
        return
    columns = ("invariant", "subject", "found", "first seen (UTC)", "last seen (UTC)", "resolved (UTC)", "resolved by", "resolution")
    rows = [(f.invariant, f.subject, "; ".join(f.found), f.first_seen_at, f.last_seen_at, f.resolved_at, f.resolved_by, f.resolution) for f in found]
    print_table(columns, rows, free=("subject", "found", "resolution"))
    print_next_page(found, limit, lambda last: ("--before", f"{last.last_seen_at.isoformat()},{last.id}"))
