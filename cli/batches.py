"""`tollbook batches`: what recording committed."""

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, BeforeId, Limit, Offset
from cli.output.json_out import print_json
from cli.output.tables import print_next_page, print_table
from core.recording.read_batches import list_batches

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook batches --limit 10")
def batches(limit: Limit = 100, offset: Offset = 0, before: BeforeId = None, as_json: AsJson = False) -> None:
    """List committed recording transactions with their outcome counts, newest first; with --json every field of each."""
    with open_database() as database:
        found = list_batches(database, acting(), limit=limit, offset=offset, before=before)
    if as_json:
        print_json(found)
        return
    columns = ("id", "kind", "committed (UTC)", "worker", "recorded", "duplicate", "conflict", "rejected", "parked", "released")
    print_table(
        columns, [(b.id, b.kind, b.committed_at, b.worker, b.recorded, b.duplicate, b.conflict, b.rejected, b.parked, b.released) for b in found]
    )
    print_next_page(found, limit, lambda last: ("--before", str(last.id)))
