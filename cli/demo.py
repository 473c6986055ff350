"""`tollbook demo`: everything at work, for real."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson
from cli.output.json_out import print_json
from cli.output.tables import print_table
from core.errors import Misconfigured

if TYPE_CHECKING:
    from lab.demo.report import Report

app = typer.Typer(add_completion=False, rich_markup_mode=None)
EXIT_INTERRUPTED = 130
_COLUMNS = ("mandate", "billing model", "time zone", "users", "events", "debits CHF", "grants CHF", "balance CHF")


@app.command(epilog="Example: tollbook demo --trace calls.csv --keep")
def demo(
    trace: Annotated[str, typer.Option(help="CSV with TIMESTAMP (UTC), ContextTokens, GeneratedTokens. Default: a made day of 6,000 calls.")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave servers, workers and Flower running, and tell how to stop them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay a day of AI calls through real workers, kill one of them half-way, and account for every franc.

    It brings its own PostgreSQL and Valkey, or uses the unused ones that DATABASE_URL and CELERY_BROKER_URL name. Exit code 1 if
    the books differ from what was sent.
    """
    try:
        from lab.demo.run import run_demo  # noqa: PLC0415 - needs tollbook[embedded]
    except ModuleNotFoundError as error:
        raise Misconfigured(f"{error.name} is not installed: install tollbook[embedded]") from None
    try:
        report = run_demo(Path(trace) if trace else None, keep=keep)
    except KeyboardInterrupt:
        typer.echo("interrupted: everything is stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report.mismatches:
        raise typer.Exit(1)


def _print_report(report: "Report") -> None:
    lines = [(m.name, m.billing_model, m.time_zone, m.users, m.events, m.debits, m.grants, m.balance) for m in report.statement]
    print_table(_COLUMNS, lines)
    typer.echo(f"sent: {_counts(report.channels)}")
    typer.echo(f"outcomes: {_counts(report.outcomes)} (redelivered after the kill: {report.redelivered})")
    typer.echo(f"dead letters: {_counts(report.dead_letters)}")
    typer.echo(f"recorded by: {_counts(report.workers)}")
    if report.crash is not None:
        after = (
            "it had nothing in hand" if report.crash.taken_over_seconds is None else f"settled by others after {report.crash.taken_over_seconds} s"
        )
        typer.echo(f"killed: {report.crash.worker} with {report.crash.messages_held} messages in hand, {after}")
    typer.echo(f"total: {report.total_chf:f} CHF in the books, {report.sent_chf:f} CHF by adding up what was sent")
    broken = {invariant: n for invariant, n in report.verify.items() if n}
    typer.echo(f"verify: violated: {_counts(broken)}" if broken else f"verify: ok ({', '.join(report.verify)})")
    for mismatch in report.mismatches:
        typer.echo(f"MISMATCH {mismatch}")
    typer.echo(f"time: {report.run_seconds:.1f} s for the traffic, {report.seconds:.1f} s altogether")
    flower = f"{report.flower['url']} (user {report.flower['user']}, password {report.flower['password']})"
    if report.kept is None:
        typer.echo(f"Flower was at {flower}; --keep leaves it running")
    else:
        typer.echo(f"Flower: {flower}\nservers, workers and logs: {report.kept['dir']}\nto stop everything: {report.kept['stop']}")


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in numbers.items()) or "none"
