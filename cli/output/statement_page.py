"""A statement as one page for browsers and for printing."""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from cli.output.measures import leaf_lines
from cli.output.page import grouped, page
from core.billing import BillingModel
from core.money import ZERO
from core.reports.stated import BalanceMonth, StatedMovement, Statement, UsageFigures
from core.reports.used_by_model import ModelMeasures
from core.time_zones import is_time_zone

ROWS_MAX = 200  # models and features, whose names the producers choose; users are all listed
MOVEMENTS_MAX = 1_000
_MOVEMENTS = {
    "opening": "Opening balance",
    "top_ups": "Top-ups",
    "grants": "Initial credits",
    "refunds": "Refunds",
    "adjustments": "Adjustments",
    "switches": "Transfers at a change of the billing model",
    "amendments": "Corrections of usage",
    "usage": "Usage billed",
    "closing": "Closing balance",
}
_ITEMS = {
    "top_ups": "Top-up",
    "grants": "Initial credit",
    "refunds": "Refund",
    "adjustments": "Adjustment",
    "switches": "Transfer at a change of the billing model",
    "amendments": "Corrections of usage",
}
_MODELS = {
    BillingModel.PREPAY_USER: "prepaid by user",
    BillingModel.PREPAY_MANDATE: "prepaid for the whole company",
    BillingModel.CREDIT_POSTPAY: "paid afterwards",
    BillingModel.UNLIMITED: "not billed",
}
_TOKENS = {
    "input_tokens": "Tokens in",
    "output_tokens": "Tokens out",
    "cached_input_tokens": "Cached",
    "cache_write_tokens": "Cache writes",
    "reasoning_tokens": "Reasoning",
}
_ALWAYS_SHOWN = ("input_tokens", "output_tokens")
_CHART_WIDTH, _CHART_HEIGHT = 720, 150


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table of usage: a name, and what tells it from others of the same name."""

    name: str
    note: str
    usage: UsageFigures


@dataclass(frozen=True, slots=True)
class Item:
    """A movement: what it was, whose balance it moved where that needs saying, why, under which key, and who asked for it."""

    day: date
    name: str
    whose: str
    reason: str
    key: str
    by: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Part:
    """A line of what was used by whom, with what and for what."""

    name: str
    provider: str
    model: str
    feature: str
    usage: UsageFigures


@dataclass(frozen=True, slots=True)
class TokenKind:
    """A kind of tokens: the field of `UsageFigures`, and what its column is called."""

    name: str
    heading: str


@dataclass(frozen=True, slots=True)
class Used:
    """A line of what a model used by class: a leaf of it, or the sum of several, which stands before them."""

    model: str
    provider: str
    name: str
    count: int
    is_sum: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A day in the chart: where its bar begins and ends, in units of the drawing, and what it says."""

    x: Decimal
    y: Decimal
    width: Decimal
    height: Decimal
    day: date
    cost: Decimal


def statement_page(statement: Statement) -> str:
    """The statement as one HTML document of its own, in UTF-8."""
    split = any(getattr(statement.pool, f.name) for f in fields(BalanceMonth)) and any(getattr(statement.users, f.name) for f in fields(BalanceMonth))
    accounts = [statement.total, *([statement.pool, statement.users] if split else [])]
    movements = [(label, [getattr(account, name) for account in accounts]) for name, label in _MOVEMENTS.items()]
    always = ("Opening balance", "Usage billed", "Closing balance")
    models = [Line(row.model, row.provider, row) for row in statement.by_model]
    shown_zone = statement.time_zone if is_time_zone(statement.time_zone) else "UTC"  # the database's zones may be newer than this program's
    tokens = [TokenKind(name, heading) for name, heading in _TOKENS.items() if name in _ALWAYS_SHOWN or getattr(statement.usage, name)]
    return page(
        "statement.html",
        statement=statement,
        month=f"{calendar.month_name[statement.first.month]} {statement.first.year}",
        address=_address(statement),
        models=[(_MODELS[model.billing_model], model.since) for model in statement.billing_models],
        owed=any(model.billing_model is BillingModel.CREDIT_POSTPAY for model in statement.billing_models),
        as_of=statement.as_of.astimezone(ZoneInfo(shown_zone)),
        shown_zone=shown_zone,
        columns=["Total", "Pool", "Users' accounts"] if split else ["Amount"],
        movements=[(label, values) for label, values in movements if label in always or any(values)],
        held=_held(statement, split=split),
        **_items(statement),
        tokens=tokens,
        token_note=", who may count some kinds within others" if len(tokens) > len(_ALWAYS_SHOWN) else "",
        mixed=statement.usage.billed_cost != 0 and statement.usage.unbilled_cost != 0,
        days=[Line(f"{row.day:%a} {row.day.day}", "", row) for row in statement.by_day],
        bars=_bars(statement),
        by_model=_cut(models),
        used=_used(statement.measures_by_model),
        costs=[
            (one.model, one.provider, cost, currency) for one in statement.measures_by_model for currency, cost in (one.provider_cost or {}).items()
        ],
        by_feature=_cut([Line(row.feature_code, "", row) for row in statement.by_feature]),
        by_user=[Line(row.user_name, "" if row.user_name == row.user_id else row.user_id, row) for row in statement.by_user],
        parts=_parts(statement),
    )


def _items(statement: Statement) -> dict[str, Any]:
    """The movements that have a line, and what the others come to."""
    shown = [_item(statement, one) for one in statement.movements[:MOVEMENTS_MAX]]
    lines = [getattr(statement.total, kind) for kind in _ITEMS]
    left_out = len(statement.movements) + statement.movements_left_out - len(shown)
    total = sum(lines, ZERO)
    return {"items": shown, "items_total": total, "items_left_out": left_out, "items_rest": total - sum((one.amount for one in shown), ZERO)}


def _item(statement: Statement, one: StatedMovement) -> Item:
    name, why = _ITEMS[one.kind], one.reason
    if one.transaction_id is None:
        name, why = f"{name} ({grouped(one.entry_count)} entries)", why.replace("_", " ")
    whose = one.user_name if one.user_name and statement.user_id is None else ""
    return Item(one.day, name, whose, why, one.key or "", one.by or "", one.amount)


def _parts(statement: Statement) -> list[Part]:
    """The dearest parts of the usage, all others as one."""
    shown = statement.by_user_model_feature[:ROWS_MAX]
    parts = [Part(row.user_name, row.provider, row.model, row.feature_code, row) for row in shown]
    left_out = len(statement.by_user_model_feature) + statement.parts_left_out - len(shown)
    if left_out:
        parts.append(Part(f"{grouped(left_out)} others", "", "", "", _less(statement.usage, shown)))
    return parts


def _less(total: UsageFigures, rows: Sequence[UsageFigures]) -> UsageFigures:
    """The total without these."""
    names = [field.name for field in fields(UsageFigures)]
    return UsageFigures(*[getattr(total, name) - sum(getattr(row, name) for row in rows) for name in names])


def _held(statement: Statement, *, split: bool) -> list[Decimal]:
    """What is held of each balance that has a column; nothing where nothing is."""
    held = statement.held
    if held is None or not held.total:
        return []
    return [held.total, held.pool, held.users] if split else [held.total]


def _address(statement: Statement) -> list[str]:
    given = statement.billing_address
    town = " ".join(given[name] for name in ("postal_code", "city") if given.get(name))
    company = given.get("company") or statement.mandate_name
    lines = [company, given.get("street"), town, given.get("country"), f"VAT {given['vat_number']}" if given.get("vat_number") else None]
    return [line for line in lines if line]


def _bars(statement: Statement) -> list[Bar]:
    """A bar for each day of the month; the dearest is as high as the chart."""
    costs = {row.day: row.cost for row in statement.by_day}
    greatest = max(costs.values(), default=ZERO)
    days = [statement.first + timedelta(days=n) for n in range(statement.last.day)]
    step = Decimal(_CHART_WIDTH) / len(days)
    bars = []
    for n, day in enumerate(days):
        cost = costs.get(day, ZERO)
        height = round(_CHART_HEIGHT * max(cost, ZERO) / greatest, 1) if greatest > 0 else ZERO
        bars.append(Bar(round(n * step + step / 10, 1), _CHART_HEIGHT - height, round(step * 8 / 10, 1), height, day, cost))
    return bars


def _cut(lines: Sequence[Line]) -> list[Line]:
    """The first lines as they are, all others as one."""
    if len(lines) <= ROWS_MAX:
        return list(lines)
    rest = lines[ROWS_MAX:]
    sums = [sum(getattr(line.usage, field.name) for line in rest) for field in fields(UsageFigures)]
    return [*lines[:ROWS_MAX], Line(f"{grouped(len(rest))} others", "", UsageFigures(*sums))]


def _used(models: Sequence[ModelMeasures]) -> list[Used]:
    """Every class of each model, the first 200 models."""
    lines = []
    for one in models[:ROWS_MAX]:
        for name, count, leaf in leaf_lines(one.leaves):
            lines.append(Used(one.model, one.provider, name if leaf is None else leaf.replace("_", " "), count, leaf is None))
    return lines
