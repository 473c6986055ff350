"""`tollbook batches`: what recording committed."""

import typer

from cli.asking import ask
from cli.options import AsJson, BeforeId, Limit, Offset
from cli.output.show import Listing, show_rows
from core.recording.read_batches import CommittedBatch, list_batches

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_LISTING = Listing(
    "id",
    "kind",
    ("committed (UTC)", "committed_at"),
    *("worker", "recorded", "duplicate", "conflict", "rejected", "parked", "released"),
    of=CommittedBatch,
    less=("released", "worker", "parked", "conflict"),
    hint="nothing was recorded yet; `tollbook publish` sends events, workers record them",
    after=lambda last: ("--before", str(last.id)),
)


@app.command(epilog="Example: tollbook batches --limit 10")
def batches(limit: Limit = 100, offset: Offset = 0, before: BeforeId = None, as_json: AsJson = False) -> None:
    """List committed recording transactions with their outcome counts, newest first; with --json every field of each."""
    show_rows(ask(list_batches, limit=limit, offset=offset, before=before), _LISTING, limit, as_json=as_json)
