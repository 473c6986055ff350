"""`tollbook stats`: what a mandate or a user has used, by day, month or year."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from cli.asking import ask, asking
from cli.options import AsCsv, AsJson, Mandate
from cli.output.chart import bar
from cli.output.csv_out import print_csv
from cli.output.measures import print_measures
from cli.output.show import show
from cli.output.tables import cell, print_table
from cli.ranges import Days, ranged
from core.errors import Forbidden
from core.ledger.read_accounts import holder_account
from core.money import ZERO
from core.periods import PeriodType
from core.statistics.measures import COST_COLUMNS, LEAF_COLUMNS, added_up, cost_values, leaf_values
from core.statistics.read import ComputedStatistics, Statistics, UsageStatistic, computed_statistics, days_in, statistics_of, summed
from core.statistics.read_progress import rollup_status

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_KEYS = ("period_start", "provider", "model", "feature_code")
_MEASURES = ("leaves", "provider_cost")
_SUMS = tuple(field.name for field in fields(UsageStatistic) if field.name not in (*_KEYS, *_MEASURES))
_AMOUNTS = ("cost", "billed_cost", "refunded")
_SHAPES = {PeriodType.DAY: 10, PeriodType.MONTH: 7, PeriodType.YEAR: 4}  # how much of 2026-01-31 names the period


@app.command(epilog="Example: tollbook stats acme ada --by day --month 2026-01")
@ranged
def stats(
    mandate: Mandate,
    user: Annotated[str | None, typer.Argument(help="Id of the user; without one, all users of the mandate.")] = None,
    *,
    by: Annotated[PeriodType, typer.Option(case_sensitive=False, metavar="|".join(PeriodType), help="Period of a line.")] = PeriodType.MONTH,
    days: Days,
    computed: Annotated[bool, typer.Option("--computed", help="Of one user: added up from the transactions themselves, as of now.")] = False,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show usage statistics; days are local days of the mandate, amounts CHF, refunds stand beside the cost.

    Without a range it is this year, or with --by year all of them; a month or year that the range covers in part counts in part.
    As CSV a line per period, provider, model and feature. What was recorded in the last minutes may be missing: "as of"
    says up to when it is in.
    """
    first, last = _range(by, days)
    if computed:
        _compute(mandate, user, first, last, as_json=as_json, as_csv=as_csv)
        return
    found = ask(statistics_of, mandate, user, by, first, last)
    if as_csv:
        print_csv((*_KEYS, *_SUMS, *LEAF_COLUMNS, *COST_COLUMNS), [_csv_row(row) for row in found.rows])
        return
    periods = [{"period_start": start, **_total(rows)} for start, rows in _periods(found.rows).items()]
    show({**asdict(found), "total": _total(found.rows), "periods": periods}, lambda: _print(found), as_json=as_json)


def _compute(mandate: str, user: str | None, first: date, last: date, *, as_json: bool, as_csv: bool) -> None:
    if user is None or as_csv:
        raise typer.BadParameter("--computed is of one user, as tables or --json: name MANDATE and USER")
    with asking() as (database, actor):
        account = holder_account(database, actor, mandate, user)
        found = computed_statistics(database, actor, account.id, first, last)
    show(found, lambda: _print_computed(found), as_json=as_json)


def _print_computed(found: ComputedStatistics) -> None:
    for title, costs in (("provider", found.cost_by_provider), ("model", found.cost_by_model), ("feature", found.cost_by_feature)):
        print_table((title, "cost CHF"), costs.items(), free=(title,))
    print_measures(found.leaves, found.provider_cost)
    typer.echo(f"total: {found.transaction_count} events, {found.total_cost_chf:f} CHF")


def _range(by: PeriodType, days: Days) -> tuple[date, date]:
    if days or by is PeriodType.YEAR:
        return days.first or date.min, days.last or date.max
    return days_in(datetime.now(UTC).year)


def _print(found: Statistics) -> None:
    periods = _periods(found.rows)
    costs = {start: _total(rows)["cost"] for start, rows in periods.items()}
    greatest = max(costs.values(), default=ZERO)
    columns = (found.period_type.lower(), "events", "cost CHF", "billed CHF", "refunded CHF", "input tokens", "output tokens", "")
    lines = []
    for start, rows in periods.items():
        total = _total(rows)
        shown = [total[name] for name in ("event_count", "cost", "billed_cost", "refunded", "input_tokens", "output_tokens")]
        lines.append((start.isoformat()[: _SHAPES[found.period_type]], *shown, bar(total["cost"], greatest)))
    print_table(columns, lines, empty="" if lines else _why_empty())
    if found.rows:
        _print_shares(found.rows)
        total = _total(found.rows)
        print_measures(total["leaves"], total["provider_cost"])
        typer.echo(f"total: {total['event_count']} events, {total['cost']:f} CHF, of which {total['billed_cost']:f} CHF billed")
    typer.echo(f"as of {cell(found.as_of)} UTC")


def _why_empty() -> str:
    """What waits to be counted, if root asks; nobody else may know."""
    try:
        waiting = ask(rollup_status)
    except Forbidden:
        return "no rows"
    if not waiting.pending_events:
        return "no rows: nothing was used in this time"
    return f"no statistics yet: {waiting.pending_events:,} events wait for the rollup; `tollbook rollup run`"


def _print_shares(rows: list[UsageStatistic]) -> None:
    names: dict[str, Callable[[UsageStatistic], str]] = {
        "provider": lambda row: row.provider,
        "model": lambda row: row.model,
        "feature": lambda row: row.feature_code,
    }
    lines = []
    for kind, name_of in names.items():
        costs = summed((name_of(row), row.cost) for row in rows)
        greatest = max(costs.values())
        lines += [(kind, name, costs[name], bar(costs[name], greatest)) for name in sorted(costs, key=lambda name: -costs[name])]
    print_table(("of", "name", "cost CHF", ""), lines)


def _periods(rows: Iterable[UsageStatistic]) -> dict[date, list[UsageStatistic]]:
    periods: dict[date, list[UsageStatistic]] = defaultdict(list)
    for row in rows:
        periods[row.period_start].append(row)
    return periods


def _total(rows: Iterable[UsageStatistic]) -> dict[str, Any]:
    """The sums over the rows, by name: amounts as decimals, counts as integers."""
    total: dict[str, Any] = {name: ZERO if name in _AMOUNTS else 0 for name in _SUMS}
    kept = list(rows)
    for row in kept:
        for name in _SUMS:
            total[name] += getattr(row, name)
    used = added_up((row.leaves, row.provider_cost) for row in kept)
    return {**total, "leaves": used.leaves, "provider_cost": used.provider_cost}


def _csv_row(row: UsageStatistic) -> tuple[object, ...]:
    sums = [getattr(row, name) for name in (*_KEYS, *_SUMS)]
    return (*sums, *leaf_values(row.leaves), *cost_values(row.provider_cost))
