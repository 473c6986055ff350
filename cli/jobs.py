"""`tollbook jobs`: what the schedule has done."""

from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, Limit, Offset, moment_first
from cli.output.json_out import print_json
from cli.output.tables import print_next_page, print_table
from core.jobs.read import list_job_runs

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook jobs --job directory.sync --limit 10")
def jobs(
    job: Annotated[str | None, typer.Option(help="Only runs of this job, such as accounts.backfill.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    before: Annotated[
        tuple[str, str, str] | None,
        typer.Option(metavar="STARTED JOB PERIOD", help="Where the page begins: when the last row already seen was started, its job and its period."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List runs of scheduled jobs, the latest first: what each period's run counted, or why it failed.

    A run without an end is at work, or its worker died and it is done again.
    """
    with open_database() as database:
        found = list_job_runs(database, acting(), job=job, limit=limit, offset=offset, before=moment_first(before))
    if as_json:
        print_json(found)
        return
    columns = ("job", "period", "started (UTC)", "ended (UTC)", "worker", "counts", "error")
    print_table(columns, [(r.job, r.period, r.started_at, r.ended_at, r.worker, r.counts, r.error) for r in found], free=("counts", "error"))
    print_next_page(found, limit, lambda last: ("--before", last.started_at.isoformat(), last.job, last.period))
