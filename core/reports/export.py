"""The ledger and the statistics as a whole, for other programs: a chunk at a time, all of them of one moment.

Whatever their size, no more than a chunk is in memory. The same books give the same rows in the same order.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from core.asking.paging import check_page
from core.asking.rights import Actor, Role, visible_mandates
from core.database.database import Database, allow_time, transaction_time
from core.directory.read import require_known
from core.periods import PeriodType
from core.reports.columns import Column, Layout, Row
from core.reports.focus import ENTRY_COLUMNS, USAGE_COLUMNS, charge_of_entry, charge_of_usage
from core.reports.sql.exports import STATISTIC_COLUMNS, TRANSACTION_COLUMNS, Wanted, read_entries, read_statistics, read_transactions, read_usage
from core.statistics.read import statistics_as_of


@dataclass(frozen=True, slots=True)
class Export:
    """Rows with a value per column, to be read once; what was committed until `as_of` is in them.

    `as_of` is no watermark: an entry whose database transaction is open meanwhile is missing, although its `recorded_at` may lie
    before. Who copies the books exports a range of days again.
    """

    columns: Sequence[Column]
    chunks: Iterator[Sequence[Row]]
    as_of: datetime


@contextmanager
def transactions_export(
    database: Database,
    actor: Actor,
    mandate_ids: Sequence[str] | None = None,
    *,
    first: date | None = None,
    last: date | None = None,
    layout: Layout = Layout.BOOKS,
) -> Iterator[Export]:
    """The transactions of these mandates, without any of all that the actor may see, by `recorded_at`, then id; read them inside the block.

    Args:
        database: the books.
        actor: root, or the administrator of all these mandates.
        mandate_ids: whose.
        first: the first local day, itself included; None: from the beginning.
        last: the last local day, itself included; None: to the end.
        layout: which columns; FOCUS takes the days for those that entries count for, where a correction has the day of what it corrects.

    Raises:
        Forbidden: the actor may not see one of the mandates as a whole.
        NotFound: there is no such mandate.
        RequestRefused: `last` is before `first`.
        StorageUnavailable, Misconfigured: the database can't be asked, while reading too.
    """
    wanted = _wanted(actor, mandate_ids, first, last, "export transactions")
    with _whole(database, mandate_ids or ()) as connection:
        as_of = transaction_time(connection)
        if layout is Layout.FOCUS:
            yield Export(ENTRY_COLUMNS, ([charge_of_entry(entry) for entry in chunk] for chunk in read_entries(connection, wanted)), as_of)
        else:
            yield Export(TRANSACTION_COLUMNS, read_transactions(connection, wanted), as_of)


@contextmanager
def statistics_export(
    database: Database,
    actor: Actor,
    mandate_ids: Sequence[str] | None = None,
    *,
    by: PeriodType = PeriodType.DAY,
    first: date | None = None,
    last: date | None = None,
    layout: Layout = Layout.BOOKS,
) -> Iterator[Export]:
    """As `transactions_export`, the stored statistics of the periods that begin on these days.

    They come by mandate, account, period, provider, model and feature. `as_of` is up to when recordings are in them, and no watermark
    either.

    Raises:
        Forbidden, NotFound, RequestRefused, StorageUnavailable, Misconfigured: as there.
    """
    wanted = _wanted(actor, mandate_ids, first, last, "export statistics")
    with _whole(database, mandate_ids or ()) as connection:
        as_of = statistics_as_of(connection)
        if layout is Layout.FOCUS:
            yield Export(USAGE_COLUMNS, ([charge_of_usage(usage) for usage in chunk] for chunk in read_usage(connection, wanted, by)), as_of)
        else:
            yield Export(STATISTIC_COLUMNS, read_statistics(connection, wanted, by), as_of)


def _wanted(actor: Actor, mandate_ids: Sequence[str] | None, first: date | None, last: date | None, asked: str) -> Wanted:
    check_page(first=first or date.min, last=last or date.max)
    return Wanted(visible_mandates(actor, mandate_ids, asked), first, last, actor.role is Role.ROOT)


@contextmanager
def _whole(database: Database, named: Sequence[str]) -> Iterator[Connection]:
    """One moment of books that have the named mandates, for as long as it takes."""
    with database.snapshot() as connection:
        allow_time(connection)
        require_known(connection, named)
        yield connection
