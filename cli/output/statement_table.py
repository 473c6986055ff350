"""A statement for people at a terminal."""

from dataclasses import fields

import typer

from cli.output.chart import bar
from cli.output.measures import print_measures
from cli.output.tables import cell, print_fields, print_table
from cli.output.text import counted
from core.reports.stated import BalanceMonth, Statement, UsageFigures

ROWS_SHOWN_MAX = 20
TOKEN_KINDS = [field.name for field in fields(UsageFigures) if field.name.endswith("_tokens")]


def print_statement(found: Statement) -> None:
    """The balance line by line, what moved it, and who used what; the longest lists end after the first twenty."""
    models = [m.billing_model if m.since is None else f"{m.billing_model} since {m.since}" for m in found.billing_models]
    of = {"mandate": found.mandate_name, **({} if found.user_id is None else {"user": found.user_name})}
    about = {**of, "billing_model": models, "time_zone": found.time_zone, "from": found.first, "to": found.last}
    print_fields(about, free=("mandate", "user"))
    columns = ("", "total CHF", "pool CHF", "users CHF")
    accounts = (found.total, found.pool, found.users)
    lines = [(field.name.replace("_", " "), *(getattr(account, field.name) for account in accounts)) for field in fields(BalanceMonth)]
    held = found.held
    print_table(columns, lines if held is None else [*lines, ("held now", held.total, held.pool, held.users)])
    if found.movements:
        _print_movements(found)
    if found.by_day:
        _print_usage(found)
    if found.unbilled_refunds:
        typer.echo(f"given back of what was not billed: {found.unbilled_refunds:f} CHF")
    if found.late_event_count:
        typer.echo(f"{counted(found.late_event_count, 'event')} recorded after the month had ended")
    typer.echo(f"as of {cell(found.as_of)} UTC" + ("" if found.ended else ": the month is not over"))


def _print_movements(found: Statement) -> None:
    shown = found.movements[:ROWS_SHOWN_MAX]
    lines = [(m.day, m.kind.replace("_", " "), "pool" if m.is_pool else m.user_name, m.amount, m.reason, m.key, m.by) for m in shown]
    print_table(("date", "of", "whose", "CHF", "reason", "key", "by"), lines, free=("whose", "reason", "key", "by"))
    if left_out := len(found.movements) + found.movements_left_out - len(shown):
        typer.echo(f"and {counted(left_out, 'movement')} more: --json and the page have them")


def _print_usage(found: Statement) -> None:
    shares: dict[str, list[tuple[str, UsageFigures]]] = {
        "model": [(f"{row.provider} {row.model}", row) for row in found.by_model],
        "feature": [(row.feature_code, row) for row in found.by_feature],
        "user": [(row.user_name, row) for row in found.by_user],
        "part": [(f"{row.user_name}: {row.provider} {row.model}, {row.feature_code}", row) for row in found.by_user_model_feature],
    }
    lines = [
        (kind, name, row.event_count, row.cost, row.billed_cost, bar(row.cost, rows[0][1].cost))
        for kind, rows in shares.items()
        for name, row in rows[:ROWS_SHOWN_MAX]
    ]
    print_table(("of", "name", "events", "cost CHF", "billed CHF", ""), lines, free=("name",))
    for kind, rows in shares.items():
        if len(rows) > ROWS_SHOWN_MAX:
            left_out = len(rows) - ROWS_SHOWN_MAX + (found.parts_left_out if kind == "part" else 0)
            typer.echo(f"and {counted(left_out, kind)} more")
    tokens = {name: getattr(found.usage, name) for name in TOKEN_KINDS}
    if any(tokens.values()):
        typer.echo(
            "tokens, as the producers counted: " + ", ".join(f"{n} {name.removesuffix('_tokens').replace('_', ' ')}" for name, n in tokens.items())
        )
    print_measures(found.leaves, found.provider_cost or {})
    typer.echo(f"total: {counted(found.usage.event_count, 'event')}, {found.usage.cost:f} CHF, of which {found.usage.billed_cost:f} CHF billed")
