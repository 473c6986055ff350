"""`tollbook demo`: everything at work, for real."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson
from cli.output.exits import INTERRUPTED
from cli.output.notes import tell_error
from cli.output.show import show
from cli.output.tables import cell
from core.errors import Misconfigured

if TYPE_CHECKING:
    from lab.demo.report import Report

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_COLUMNS = ("mandate", "billing model", "users", "events", "debits CHF", "grants CHF", "balance CHF")


@app.command(epilog="Example: tollbook demo --trace calls.csv --keep")
def demo(
    trace: Annotated[str, typer.Option(help="CSV with TIMESTAMP (UTC), ContextTokens, GeneratedTokens. Default: a made day of 6,000 calls.")] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave servers, workers and Flower running, and tell how to stop them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay a day of AI calls through real workers, kill one of them half-way, and account for every franc.

    Some mandates send prices, others the usage objects of their providers, which are priced by a book of list prices. One holds money
    for its calls before they are made, and has a cap.

    It brings its own PostgreSQL and Valkey, or uses the unused ones that DATABASE_URL and CELERY_BROKER_URL name. Exit code 1 if
    the books differ from what was sent.
    """
    try:
        from lab.demo.run import run_demo  # noqa: PLC0415 - needs the extra `embedded`
        from lab.process import ServerFailed  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise Misconfigured(f"{error.name} is not installed: `make install` brings it (pip install '.[embedded]' in the checkout)") from None
    try:
        report = run_demo(Path(trace) if trace else None, keep=keep)
    except KeyboardInterrupt:
        tell_error("interrupted", "interrupted: everything is stopped")
        raise typer.Exit(INTERRUPTED) from None
    except ServerFailed as error:  # may end with a server's log, of many lines
        tell_error("failed", str(error), keep="\n")
        raise typer.Exit(1) from None
    show(report, lambda: _print_report(report), as_json=as_json)
    if report.mismatches:
        raise typer.Exit(1)


def _print_report(report: "Report") -> None:
    _print_statement(report)
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
    _print_prices(report)
    _print_held(report)
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


def _print_prices(report: "Report") -> None:
    if computed := report.rated.get("computed"):
        again, cost = report.rated_again["computed"].billed, computed.provider_cost.normalize()
        totals = f"{computed.billed:f} CHF in the books, {again:f} CHF by a second rater"
        typer.echo(f"computed: {computed.events:,} events without a price: {totals} ({cost:f} USD at the providers)")
    waited = f"{report.released:,} events waited for a price of their model"
    typer.echo(f"suspense: {waited}, and were recorded when it was accepted")
    if shadow := report.rated.get("shadow"):
        given = f"{shadow.events:,} events, {shadow.billed:f} CHF as given"
        difference = f"difference {shadow.computed - shadow.billed:+f} CHF"
        typer.echo(f"shadow: {given}, {shadow.computed:f} CHF computed, {difference}")


def _print_held(report: "Report") -> None:
    held = report.held
    taken = f"{held.captured.normalize():f} CHF were taken by their events, {held.released.normalize():f} CHF given back"
    typer.echo(f"holds: {held.allowed} of {held.asked} callers at once were allowed; {taken}")
    typer.echo(f"expired: {held.unbilled} hold of {held.expired.normalize():f} CHF, whose caller died: authorised, never billed")
    told = ", ".join(map(str, held.told))
    typer.echo(f"cap: {held.reason} at {held.spent.normalize():f} CHF of a day, until {held.opens_at:%Y-%m-%d %H:%M} UTC; told at {told} %")


def _print_statement(report: "Report") -> None:
    """Columns without lines: exact amounts have many digits, and a terminal may have 80 columns."""
    rows: list[tuple[object, ...]] = [
        (m.mandate_id, m.billing_model, m.users, m.events, f"{m.debits:.9f}", f"{m.grants:.9f}", None if m.balance is None else f"{m.balance:.9f}")
        for m in report.statement
    ]
    debits, grants = report.total_chf, sum((m.grants for m in report.statement), Decimal(0))
    rows.append(("total", "", sum(m.users for m in report.statement), sum(m.events for m in report.statement), f"{debits:.9f}", f"{grants:.9f}", ""))
    cells = [_COLUMNS, *(tuple(map(cell, row)) for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(_COLUMNS))]
    for row in cells:
        text = " ".join(value.ljust(width) if n < 2 else value.rjust(width) for n, (value, width) in enumerate(zip(row, widths, strict=True)))
        typer.echo(text.rstrip())


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in numbers.items()) or "none"
