"""The columns of `transactions` that hold what a usage event says, made from the fields of the event; and lists of columns in SQL."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import RowMapping

from core.events.model import EVENT_TEXTS, TOKEN_KINDS, TokenUsage, UsageEvent

TEXT_COLUMNS = (*EVENT_TEXTS[:1:-1], *EVENT_TEXTS[:2])  # as tables and exports have always had them: provider and model come last
# Column -> field of the event. The columns of `TOKEN_KINDS` stand beside them.
EVENT_COLUMNS = {
    "mandate_id": "mandate_id",
    "event_id": "event_id",
    "amount": "price_chf",
    **dict(zip(TEXT_COLUMNS, TEXT_COLUMNS, strict=True)),
    "created_by_user_id": "user_id",
    "occurred_at": "occurred_at",
    "source": "source",
}
KINDS = {"amount": "numeric", "occurred_at": "timestamptz", **dict.fromkeys(TOKEN_KINDS, "bigint")}  # in SQL, where it isn't text


def columns(table: str, names: Iterable[str]) -> str:
    """The columns of a table, in a list: `t.a, t.b`."""
    return ", ".join(f"{table}.{name}" for name in names)


def event_columns(table: str) -> str:
    """What `event_of` reads, off a row of `transactions`. The description is the one that the entry has, also where the event had none."""
    return ", ".join(f"{table}.{name} AS {field}" for name, field in EVENT_COLUMNS.items()) + ", " + columns(table, TOKEN_KINDS)


def event_of(row: RowMapping) -> UsageEvent:
    """The event that a row with the `event_columns` tells of."""
    told: dict[str, Any] = {field: row[field] for field in EVENT_COLUMNS.values()}
    return UsageEvent(usage=TokenUsage(*[row[kind] for kind in TOKEN_KINDS]), **told)
