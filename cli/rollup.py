"""`tollbook rollup`: keeping usage statistics up with what is recorded."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.acting import acting
from cli.asking import ask
from cli.context import open_database
from cli.options import AsJson
from cli.output.notes import note
from cli.output.progress import progress
from cli.output.show import show
from cli.output.text import age_text, counted
from core.asking.rights import require_root
from core.statistics.read_progress import rollup_status
from core.statistics.rebuild import rebuild_statistics
from core.statistics.roll_up import roll_up_usage

app = typer.Typer(
    help="Usage statistics by day, month and year: workers keep them up every two minutes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command(epilog="Example: tollbook rollup run")
def run(*, as_json: AsJson = False) -> None:
    """Add everything that is pending to the statistics now. Harmless beside the workers: each batch is counted once."""
    require_root(acting(), "roll usage up")
    with open_database() as database:
        done = roll_up_usage(database)
    if not done.complete:
        note("another rollup or a rebuild is at work, and more is pending: see `tollbook rollup status`")
    show(done, as_json=as_json)


@app.command(epilog="Example: tollbook rollup rebuild --mandate acme")
def rebuild(
    *,
    mandate: Annotated[str | None, typer.Option(help="Only the statistics of this mandate. Default: of all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Count the statistics anew from the transactions and set right what differs; recording goes on meanwhile.

    Of statistics that are in order nothing is written. Rollups wait until the mandate at hand is done.
    """
    with open_database() as database, progress(None) as tell:
        done = rebuild_statistics(database, acting(), mandate, progress=lambda n: tell(n, lambda: f"{counted(n, 'mandate')} done"))
    show(done, as_json=as_json)


@app.command(epilog="Example: tollbook rollup status --json")
def status(*, as_json: AsJson = False) -> None:
    """Show how many batches the statistics lack, since when the oldest waits, and up to which day they are closed."""
    found = ask(rollup_status)
    told = {name: value for name, value in asdict(found).items() if name != "oldest_seconds"}
    show(found, {**told, "oldest waits for": age_text(found.oldest_seconds)}, as_json=as_json)
