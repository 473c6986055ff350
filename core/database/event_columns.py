"""The columns of `transactions` that hold what a usage event says, made from the fields of the event; and lists of columns in SQL."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import RowMapping

from core.events.model import CALL_FIELDS, EVENT_TEXTS, TOKEN_KINDS, CallFacts, ReportedCost, TokenUsage, UsageEvent
from core.events.usage_object import raw_usage_as_kept

TEXT_COLUMNS = (*EVENT_TEXTS[:1:-1], *EVENT_TEXTS[:2])  # as tables and exports have always had them: provider and model come last
# Column -> field of the event. The columns of `TOKEN_KINDS` stand beside them.
EVENT_COLUMNS = {
    "mandate_id": "mandate_id",
    "event_id": "event_id",
    **dict(zip(TEXT_COLUMNS, TEXT_COLUMNS, strict=True)),
    "created_by_user_id": "user_id",
    "occurred_at": "occurred_at",
    "source": "source",
}
_OF_COST = {"reported_amount": "amount", "reported_currency": "currency"}
_CALL_KINDS = {"attempt": "smallint", "hold_final": "boolean", "producer_seq": "bigint", "reported_amount": "numeric"}
_CALL_NAMES = tuple(name for field in CALL_FIELDS for name in (tuple(_OF_COST) if field == "reported_cost" else (field,)))
CALL_COLUMNS = {name: _CALL_KINDS.get(name, "text") for name in _CALL_NAMES}  # column -> its kind in SQL
KINDS = {"amount": "numeric", "occurred_at": "timestamptz", **dict.fromkeys(TOKEN_KINDS, "bigint")}  # in SQL, where it isn't text

# What of an entry says what an event came with: without a stamp its amount is the price that was given (docs/books.md).
PRICE_GIVEN = "CASE WHEN {0}.stamp_id IS NULL THEN {0}.amount ELSE {0}.price_given END"


def columns(table: str, names: Iterable[str]) -> str:
    """The columns of a table, in a list: `t.a, t.b`."""
    return ", ".join(f"{table}.{name}" for name in names)


def event_columns(table: str) -> str:
    """What `event_of` reads, off a row of `transactions`. The description is the one that the entry has, also where the event had none."""
    own = ", ".join(f"{table}.{name} AS {field}" for name, field in EVENT_COLUMNS.items())
    shape = f"(SELECT s.shape FROM usage_shapes s WHERE s.id = {table}.usage_shape) AS shape"
    return f"{own}, {PRICE_GIVEN.format(table)} AS price_chf, {columns(table, (*TOKEN_KINDS, *CALL_COLUMNS, 'usage_values'))}, {shape}"


def event_of(row: RowMapping) -> UsageEvent:
    """The event that a row with the `event_columns` tells of."""
    told: dict[str, Any] = {field: row[field] for field in (*EVENT_COLUMNS.values(), "price_chf")}
    raw = None if row["shape"] is None else raw_usage_as_kept(row["shape"], row["usage_values"])
    return UsageEvent(usage=TokenUsage(*[row[kind] for kind in TOKEN_KINDS]), call=_call_of(row), raw_usage=raw, **told)


def _call_of(row: RowMapping) -> CallFacts | None:
    if all(row[name] is None for name in CALL_COLUMNS):
        return None
    cost = None if row["reported_amount"] is None else ReportedCost(row["reported_amount"], row["reported_currency"])
    told: dict[str, Any] = {name: cost if name == "reported_cost" else row[name] for name in CALL_FIELDS}
    return CallFacts(**told)


def said_of_call(name: str) -> str:
    """Where a column of `CALL_COLUMNS` stands in `CallFacts`: a path of attributes."""
    return f"reported_cost.{_OF_COST[name]}" if name in _OF_COST else name
