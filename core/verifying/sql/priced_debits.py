"""SQL of debits with what they were priced by, page by page: computed ones, and those with a usage object."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, RowMapping, TextClause, text

from core.database.event_columns import columns, event_columns, event_of
from core.events.model import UsageEvent
from core.ledger.priced import GIVEN_STAMP
from core.ledger.sql.transactions import PRICED_COLUMNS

PAGE_ROWS = 1_000
_ENTRY = f"t.id, t.amount, t.price_given, {columns('t', PRICED_COLUMNS)}, s.dialect_version, {event_columns('t')}"

# Where nothing was computed yet, or no usage object came, not one entry is read.
_COMPUTED = text(f"""
    SELECT {_ENTRY} FROM transactions t LEFT JOIN stamps s ON s.id = t.stamp_id
     WHERE t.recorded_at >= :since AND t.stamp_id <> {GIVEN_STAMP} AND coalesce(s.kind IN ('rated', 'policy'), true)
       AND (SELECT EXISTS (SELECT FROM stamps WHERE id <> {GIVEN_STAMP}))
""")
_WITH_USAGE = text(f"""
    SELECT {_ENTRY} FROM transactions t LEFT JOIN stamps s ON s.id = t.stamp_id
     WHERE t.recorded_at >= :since AND t.usage_shape IS NOT NULL AND (SELECT EXISTS (SELECT FROM usage_shapes))
""")


class PricedDebit(NamedTuple):
    """A debit, its event, and what stands beside its amount; `computed` is the computed price where another one is billed.

    `dialect_version` is the one that the event was rated with, where it was.
    """

    id: int
    event: UsageEvent
    amount: Decimal
    price_given: Decimal | None
    stamp_id: int | None
    computed: Decimal | None
    provider_cost: Decimal | None
    provider_currency: str | None
    leaves: str | None
    dialect_version: int | None


def computed_debits(connection: Connection, since: str) -> Iterator[Sequence[PricedDebit]]:
    """Those recorded from `since` on whose price was computed, whether it is billed or stands beside it, a page at a time."""
    return _pages(connection, _COMPUTED, since)


def debits_with_usage(connection: Connection, since: str) -> Iterator[Sequence[PricedDebit]]:
    """Those recorded from `since` on that have a usage object, however they are billed, a page at a time."""
    return _pages(connection, _WITH_USAGE, since)


def _pages(connection: Connection, statement: TextClause, since: str) -> Iterator[Sequence[PricedDebit]]:
    with connection.execute(statement, {"since": since}, execution_options={"yield_per": PAGE_ROWS}) as found:
        for page in found.mappings().partitions(PAGE_ROWS):
            yield [_debit(row) for row in page]


def _debit(row: RowMapping) -> PricedDebit:
    told = {
        name: row[name] for name in ("id", "amount", "price_given", "stamp_id", "provider_cost", "provider_currency", "leaves", "dialect_version")
    }
    return PricedDebit(event=event_of(row), computed=row["price_computed"], **told)
