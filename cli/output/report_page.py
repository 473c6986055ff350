"""Usage and condition of the books as one page for browsers, for people who look rather than read.

Amounts are rounded there to what one sees; each has its exact value beside it for programs, and the commands that are named have it for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from markupsafe import Markup

from cli.output.page import exact, grouped, page
from core.ledger.read_balances import MandateBalance
from core.money import ZERO
from core.periods import PeriodType
from core.reports.overview import Overview, Share
from core.verifying.read_findings import Finding
from core.watching.read import Condition

CURRENCIES_MAX = 4  # that are drawn, each by itself
_CHART_WIDTH, _CHART_HEIGHT, _LABELS_MAX = 720, 150, 12
_SIGNIFICANT = 2
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows; `condition` and `findings` where it is about the whole books and root asks, `balances` where mandates are named."""

    overview: Overview
    condition: Condition | None = None
    findings: Sequence[Finding] = ()
    balances: Sequence[MandateBalance] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart, in units of the drawing: where it begins, how wide and high it is, what it says, and its label where it has one."""

    x: Decimal
    y: Decimal
    width: Decimal
    height: Decimal
    says: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: what it shows, its greatest amount, and its bars."""

    title: str
    unit: str
    greatest: Decimal
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class Worry:
    """Something that somebody should look at: what, and the command that shows it."""

    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Table:
    """Who or what used how much, and the command that shows more."""

    title: str
    heading: str
    command: str
    shares: list[Share]


def report_page(report: Report) -> str:
    """The report as one HTML document of its own, in UTF-8."""
    found = report.overview
    return page(
        "report.html",
        styles=("page.css", "report.css"),
        report=report,
        found=found,
        condition=report.condition,
        title=_title(found),
        charts=_charts(found),
        period="Day" if found.period_type is PeriodType.DAY else "Month",
        tables=_tables(found),
        currencies=list(found.total.provider_cost),
        worries=None if report.condition is None else worries(report.condition),
        brief=brief,
        lasted=lasted,
        when=_when,
        counted=_counted,
    )


def brief(value: Decimal) -> Markup:
    """The amount as one looks at it: two places, or of one below a hundredth two digits that count; its exact value is beside it."""
    if value and abs(value) < Decimal("0.01"):
        places = -(value.adjusted() - _SIGNIFICANT + 1)
        shown = f"{value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):f}".replace("-", "\u2212")
    else:
        whole, _, decimals = f"{abs(value).quantize(Decimal('0.01'), ROUND_HALF_EVEN):f}".partition(".")
        shown = f"{chr(0x2212) if value < 0 else ''}{grouped(int(whole))}.{decimals}"
    return Markup('<data value="{0}" title="{0}">{1}</data>').format(f"{value:f}", shown)


def lasted(seconds: float | None) -> str:
    """A time in the largest unit that it has two of; `never` where there is none."""
    if seconds is None:
        return "never"
    size, unit = next((one for one in _UNITS if seconds >= 2 * one[0]), _UNITS[-1])
    number = int(seconds // size)
    return f"{number} {unit}{'' if number == 1 else 's'}"


def worries(condition: Condition) -> list[Worry]:
    """What somebody should look at, the gravest first."""
    broken = {name: n for name, n in condition.violations.items() if n}
    failed = [job.job for job in condition.jobs if job.failed]
    letters = sum(one.number for one in condition.open_letters)
    found = [
        (bool(broken), f"Invariants that don't hold: {', '.join(sorted(broken))}", "tollbook findings"),
        (bool(failed), f"Jobs whose last run failed: {', '.join(failed)}", "tollbook jobs"),
        (letters, f"{_counted(letters, 'message')} couldn't be recorded", "tollbook deadletters list"),
        (condition.suspense_events, f"{_counted(condition.suspense_events, 'event')} can't be priced", "tollbook parked list"),
        (condition.producer_gaps.number, f"Gaps in what producers numbered: {condition.producer_gaps}", "tollbook producers"),
        (
            condition.holds.overdue_seconds > 120,
            f"Holds that are over wait for {lasted(condition.holds.overdue_seconds)}",
            "tollbook holds expire",
        ),
        (condition.above_limit.number, f"Pools beyond their credit limit: {condition.above_limit}", "tollbook alerts --kind CREDIT_LIMIT"),
        (condition.below_zero.number, f"Prepaid accounts below zero: {condition.below_zero}", "tollbook alerts --kind ZERO"),
        (condition.below_threshold.number, f"Accounts below their threshold: {condition.below_threshold}", "tollbook alerts --kind WARNING"),
        (condition.caps_reached.number, f"Caps that are reached: {condition.caps_reached}", "tollbook caps alerts"),
    ]
    return [Worry(text, command) for there, text, command in found if there]


def _title(found: Overview) -> str:
    return f"{_when(found.first)} to {_when(found.last)}"


def _when(day: date | datetime) -> str:
    text = f"{day.day} {day:%B %Y}"
    return f"{text}, {day:%H:%M} UTC" if isinstance(day, datetime) else text


def _counted(number: int, thing: str) -> str:
    return f"{grouped(number)} {thing}{'' if number == 1 else 's'}"


def _tables(found: Overview) -> list[Table]:
    days = f"--from {found.first} --to {found.last}"
    return [
        Table("By mandate", "Mandate", f"tollbook stats MANDATE {days}", found.by_mandate),
        Table("By model", "Model", f"tollbook stats MANDATE {days}", found.by_model),
        Table("By feature", "Feature", f"tollbook stats MANDATE {days}", found.by_feature),
        Table("By user", "User", f"tollbook statement MANDATE {found.last:%Y-%m}", found.by_user),
    ]


def _charts(found: Overview) -> list[Chart]:
    """Of the price and, by currency, of what providers charge."""
    charts = [_chart(found, "Price", "CHF", {one.start: one.sums.cost for one in found.by_period})]
    for currency in list(found.total.provider_cost)[:CURRENCIES_MAX]:
        costs = {one.start: one.sums.provider_cost.get(currency, ZERO) for one in found.by_period}
        charts.append(_chart(found, "Provider cost", currency, costs))
    return charts


def _chart(found: Overview, title: str, unit: str, amounts: Mapping[date, Decimal]) -> Chart:
    greatest, step = max(amounts.values(), default=ZERO), Decimal(_CHART_WIDTH) / max(1, len(amounts))
    every = -(-len(amounts) // _LABELS_MAX)
    bars = []
    for n, (start, cost) in enumerate(amounts.items()):
        height = round(_CHART_HEIGHT * max(cost, ZERO) / greatest, 1) if greatest > 0 else ZERO
        by_day = found.period_type is PeriodType.DAY
        says = f"{start.isoformat() if by_day else f'{start:%Y-%m}'}: {unit} {exact(cost)}"
        label = "" if n % every else f"{start.day} {start:%b}" if by_day else f"{start:%b %y}"
        bars.append(Bar(round(n * step + step / 10, 1), _CHART_HEIGHT - height, round(step * 8 / 10, 1), height, says, label))
    return Chart(title, unit, greatest, bars)
