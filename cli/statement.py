"""`tollbook statement`: a mandate's month, for people as a table or a page, for programs as JSON."""

import re
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from cli.asking import asking
from cli.options import STANDARD_OUTPUT, AsJson, Force, Mandate, moment
from cli.output.chart import bar
from cli.output.measures import print_measures
from cli.output.new_file import new_file, standard_output
from cli.output.statement_page import statement_page
from cli.output.tables import cell, print_fields, print_table
from cli.output.text import counted
from core.json_text import json_text
from core.reports.statement import BalanceMonth, Statement, UsageFigures
from core.reports.statement import statement as statement_of

app = typer.Typer(add_completion=False, rich_markup_mode=None)
SHARES_SHOWN_MAX = 20
TOKEN_KINDS = [field.name for field in fields(UsageFigures) if field.name.endswith("_tokens")]
_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")


@app.command(epilog="Example: tollbook statement acme 2026-10 --output statement.html")
def statement(
    mandate: Mandate,
    month: Annotated[str, typer.Argument(metavar="MONTH", help="The month of its local days, such as 2026-10.")],
    *,
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
    first, when = _first(month), moment(as_of)
    target = standard_output() if output is None or output == STANDARD_OUTPUT else new_file(output, force=force)
    with target as file, asking() as (database, actor):
        found = statement_of(database, actor, mandate, first, when, provider_cost=provider_cost, patient=True)
        if output is None and not as_json:
            _print(found)
        else:
            file.write((json_text(found, indent=2) + "\n" if as_json else statement_page(found)).encode())


def _first(month: str) -> date:
    matched = _MONTH.fullmatch(month)
    try:
        if matched:
            return date(int(matched[1]), int(matched[2]), 1)
    except ValueError:
        pass
    raise typer.BadParameter(f"{month!r} is no month such as 2026-10", param_hint="MONTH")


def _print(found: Statement) -> None:
    models = [m.billing_model if m.since is None else f"{m.billing_model} since {m.since}" for m in found.billing_models]
    about = {"mandate": found.mandate_name, "billing_model": models, "time_zone": found.time_zone, "from": found.first, "to": found.last}
    print_fields(about, free=("mandate",))
    columns = ("", "total CHF", "pool CHF", "users CHF")
    accounts = (found.total, found.pool, found.users)
    lines = [(field.name.replace("_", " "), *(getattr(account, field.name) for account in accounts)) for field in fields(BalanceMonth)]
    held = found.held
    print_table(columns, lines if held is None else [*lines, ("held now", held.total, held.pool, held.users)])
    if found.by_day:
        _print_usage(found)
    if found.unbilled_refunds:
        typer.echo(f"given back of what was not billed: {found.unbilled_refunds:f} CHF")
    if found.late_event_count:
        typer.echo(f"{counted(found.late_event_count, 'event')} recorded after the month had ended")
    typer.echo(f"as of {cell(found.as_of)} UTC" + ("" if found.ended else ": the month is not over"))


def _print_usage(found: Statement) -> None:
    shares: dict[str, list[tuple[str, UsageFigures]]] = {
        "model": [(f"{row.provider} {row.model}", row) for row in found.by_model],
        "feature": [(row.feature_code, row) for row in found.by_feature],
        "user": [(row.user_name, row) for row in found.by_user],
    }
    lines = [
        (kind, name, row.event_count, row.cost, row.billed_cost, bar(row.cost, rows[0][1].cost))
        for kind, rows in shares.items()
        for name, row in rows[:SHARES_SHOWN_MAX]
    ]
    print_table(("of", "name", "events", "cost CHF", "billed CHF", ""), lines, free=("name",))
    for kind, rows in shares.items():
        if len(rows) > SHARES_SHOWN_MAX:
            typer.echo(f"and {counted(len(rows) - SHARES_SHOWN_MAX, kind)} more")
    tokens = {name: getattr(found.usage, name) for name in TOKEN_KINDS}
    if any(tokens.values()):
        typer.echo(
            "tokens, as the producers counted: " + ", ".join(f"{n} {name.removesuffix('_tokens').replace('_', ' ')}" for name, n in tokens.items())
        )
    print_measures(found.leaves, found.provider_cost or {})
    typer.echo(f"total: {counted(found.usage.event_count, 'event')}, {found.usage.cost:f} CHF, of which {found.usage.billed_cost:f} CHF billed")
