"""`tollbook jobs`: what the schedule has done."""

from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, Limit, Offset, moment_first
from cli.output.show import Listing, show_rows
from core.jobs.read import JobRun, list_job_runs

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_LISTING = Listing(
    "job",
    "period",
    ("started (UTC)", "started_at"),
    ("ended (UTC)", "ended_at"),
    *("worker", "counts", "error"),
    of=JobRun,
    free=("counts", "error"),
    less=("worker", "ended (UTC)"),
    hint="no scheduled job was run yet; beat starts them",
    after=lambda last: ("--before", last.started_at.isoformat(), last.job, last.period),
)


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
    found = ask(list_job_runs, job=job, limit=limit, offset=offset, before=moment_first(before))
    show_rows(found, _LISTING, limit, as_json=as_json)
