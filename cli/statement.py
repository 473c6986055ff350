"""`tollbook statement`: a mandate's month, for people as a table or a page, for programs as JSON."""

from bisect import bisect_right
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.asking import asking
from cli.options import STANDARD_OUTPUT, AsJson, Force, moment
from cli.output.exits import FAILED
from cli.output.new_file import new_file, standard_output
from cli.output.notes import refuse, warn
from cli.output.progress import progress
from cli.output.show import show
from cli.output.statement_folder import INDEX, SUMMARY, write_overview, write_statements
from cli.output.statement_journal import Order, journal_of
from cli.output.statement_page import statement_page
from cli.output.statement_table import print_statement
from cli.output.text import counted, printable
from cli.ranges import first_of_month
from core.json_text import json_text
from core.reports.stated import Statement
from core.reports.statement import statement as statement_of
from core.reports.statements_due import statements_due, users_due

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook statement acme 2026-10 --output statement.html")
def statement(
    mandate: Annotated[str, typer.Argument(metavar="MANDATE", help="Id of the mandate; with --all the month comes here.")],
    month: Annotated[str, typer.Argument(metavar="MONTH", help="The month of its local days, such as 2026-10; with --all a folder comes here.")],
    *,
    user: Annotated[str | None, typer.Option(help="Of this user's own account and usage alone.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Given MONTH DIR: a file for each mandate with anything in it, into the folder.")] = False,
    only: Annotated[list[str] | None, typer.Option("--mandate", help="With --all: of this mandate; may be given several times.")] = None,
    per_user: Annotated[bool, typer.Option("--per-user", help="With --all: one of each user, too, where users pay for themselves.")] = False,
    as_of: Annotated[
        str | None,
        typer.Option(help="By what was recorded before this moment, such as 2026-11-02T08:00:00+01:00. Default: now."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE|-", help="Write a page for browsers and printing (with --json JSON) into this new file; - is standard output."),
    ] = None,
    provider_cost: Annotated[bool, typer.Option("--provider-cost", help="With what providers charge: not for who pays.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show what moved a mandate's balances in a month, and what its users used; amounts in CHF, exact.

    Everything counts for its local day, whenever it was recorded: opening + movements = closing, which is the next month's opening
    as of the same moment. A month changes with what comes late; the same --as-of gives the same figures again.
    """
    when = moment(as_of)
    if everybody:
        if user is not None or output is not None:
            raise typer.BadParameter("names one statement: not with --all", param_hint="--user" if user is not None else "--output")
        first, options = first_of_month(mandate, "MONTH"), {"as_json": as_json, "provider_cost": provider_cost, "per_user": per_user}
        _write_all(Path(month), first, when, only, force=force, **options)
        return
    if only or per_user:
        raise typer.BadParameter("goes with --all", param_hint="--mandate" if only else "--per-user")
    first = first_of_month(month, "MONTH")
    target = standard_output() if output is None or output == STANDARD_OUTPUT else new_file(output, force=force)
    with target as file, asking() as (database, actor):
        found = statement_of(database, actor, mandate, first, when, user_id=user, provider_cost=provider_cost, patient=True)
        if output is None:
            show(found, lambda: print_statement(found), as_json=as_json)
        else:
            file.write((json_text(found, indent=2) + "\n" if as_json else statement_page(found)).encode())


def _write_all(folder: Path, first: date, when: datetime | None, only: list[str] | None, *, force: bool, **options: bool) -> None:
    """A statement of each mandate in the folder; what is there of the same order stays, as of the moment at which that began."""
    with asking() as (database, actor):
        due = statements_due(database, actor, only)
        order = Order(first, min(when or due.as_of, due.as_of), only and sorted(set(only)), **options)
        with journal_of(folder, order, any_moment=when is None, force=force) as journal:
            as_of = journal.order.as_of

            def make(mandate_id: str, user_id: str | None) -> Statement:
                cost = order.provider_cost
                return statement_of(database, actor, mandate_id, first, as_of, user_id=user_id, provider_cost=cost, patient=True)

            failed = made = 0
            try:
                with progress(len(due.mandate_ids)) as tell:
                    for done in write_statements(journal, due.mandate_ids, make, lambda mandate_id: users_due(database, actor, mandate_id)):
                        made, failed = made + bool(done.file), failed + bool(done.error)
                        if done.error:
                            refuse(f"{done.mandate_id}{' ' if done.user_id else ''}{done.user_id}: {done.error}")
                        tell(bisect_right(due.mandate_ids, done.mandate_id), lambda: f"{made} statements")  # noqa: B023 - shown at once
            except KeyboardInterrupt:
                warn(f"{counted(made, 'statement')} made before the interruption; the same command goes on")
                raise
            write_overview(journal)
            there = sum(1 for one in journal.done if one.file)
    told = {"statements": there, "made_now": made, "failed": failed, "as_of": as_of, "index": folder / INDEX, "summary": folder / SUMMARY}
    where = f"{printable(str(folder))} ({INDEX}, {SUMMARY})"
    text = f"{counted(there, 'statement')} in {where} as of {as_of.isoformat()}, {made} of them made now"
    show(told, text, as_json=order.as_json)
    if failed:
        raise typer.Exit(FAILED)
