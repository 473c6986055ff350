"""Likely twins, for reading: usage that a producer may have sent twice under two ids, which no ledger can tell from two calls."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field
from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.request import Day
from core.asking.view import view
from core.database.rows import rows
from core.directory.read import Mandates, mandates
from core.errors import RequestRefused
from core.events.contract import Label
from core.events.model import TokenColumns
from core.reports.sql import twins as sql

DAYS_MAX = 31
SECONDS_DEFAULT, SECONDS_MAX = 10, 3600
AT_LEAST_DEFAULT = 2


@dataclass(frozen=True, slots=True)
class _Call:
    """What such events have in common, but for their tokens and their price."""

    mandate_id: str
    mandate_name: str
    user_id: str
    user_name: str
    provider: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Twins(TokenColumns[int | None], _Call):
    """Events that look like one call sent under several ids: as many as `event_count`, each `price` CHF, `first_at` to `last_at`.

    `excess` is what all but one of them cost, `refunded` what was given back of them, in CHF. `event_ids` are the first ten;
    `transaction_id` is the smallest of their debits' ids.
    """

    price: Decimal
    event_count: int
    excess: Decimal
    refunded: Decimal
    first_at: datetime
    last_at: datetime
    event_ids: list[str]
    transaction_id: int


@view("view.twins", sees=mandates("list the likely twins"))
def twins(
    connection: Connection,
    mandate_ids: Mandates = None,
    *,
    first: Day,
    last: Day,
    seconds: Annotated[int, Field(strict=True)] = SECONDS_DEFAULT,
    at_least: Annotated[int, Field(strict=True, le=2**63 - 1)] = AT_LEAST_DEFAULT,
    limit: Limit = LIMIT_DEFAULT,
    after: tuple[Label, Offset] = ("", 0),
) -> list[Twins]:
    """Usage of one user with the same provider, model, token counts and price, each event within seconds of the one before.

    They may be honest calls all the same: it shows where to look. By mandate, and then by transaction id.

    Args:
        connection: to read with.
        mandate_ids: of which mandates; None: of all that the actor may see.
        first: from this local day on.
        last: up to this local day, itself included; 31 days at most.
        seconds: between the times of two events that follow each other, 1 to 3,600.
        at_least: so many events, 2 or more.
        limit: groups at most.
        after: the mandate and transaction id of the last group already seen.

    Raises:
        RequestRefused: a number or the range of days is out of range.
    """
    if (last - first).days >= DAYS_MAX:
        raise RequestRefused(f"{last.isoformat()} is more than {DAYS_MAX} days after {first.isoformat()}: ask for fewer", field="to", value=last)
    if not 1 <= seconds <= SECONDS_MAX:
        raise RequestRefused(f"seconds must be 1 to {SECONDS_MAX} (got {seconds})")
    if at_least < AT_LEAST_DEFAULT:
        raise RequestRefused(f"at_least must be {AT_LEAST_DEFAULT} or more (got {at_least})")
    how = {"first": first, "last": last, "seconds": seconds, "at_least": at_least, "limit": limit}
    return rows(connection, Twins, sql.FIND, mandate_ids=mandate_ids, after_mandate_id=after[0], after_id=after[1], **how)
