"""Producers, for reading: how far their numbers have come, and what of them is missing."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.view import root, view
from core.database.listing import Rows
from core.errors import NotFound
from core.events.contract import Name
from core.printable import shown
from core.producers.sql import shown as sql


@dataclass(frozen=True, slots=True)
class Producer:
    """One life of one process, as far as its numbers are merged: a few seconds ago.

    `missing` has the first ten ranges of numbers that have not come, each as its first and last one; `missing_since` is when a number after
    the oldest of them came, its age in seconds beside it. From `untracked_from` on nobody looks: too many ranges were missing.
    """

    producer_id: str
    highest: int
    missing_ranges: int
    missing_events: int
    missing: list[list[int]]
    missing_since: datetime | None
    missing_seconds: int | None
    untracked_from: int | None
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class MissingRange:
    """Numbers of one producer that have not come, both ends included; missing for so many seconds since a later one came."""

    first_seq: int
    last_seq: int
    since: datetime
    missing_seconds: int
    is_finding: bool


@view("view.list_producers", sees=root("list producers"))
def list_producers(
    connection: Connection, *, missing: bool = False, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, before: Name | None = None
) -> list[Producer]:
    """Producers that number their events, the greatest id first: of ids that begin with the time, the newest life.

    With `missing` only those of which anything is; `before` is the id of the last row already seen.
    """
    return sql.LIST.rows(connection, Producer, Rows(limit, offset, before), missing=missing)


@view("view.list_missing", sees=root("list what is missing of a producer"))
def list_missing(
    connection: Connection, producer_id: Name, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, after: int | None = None
) -> list[MissingRange]:
    """What is missing of one producer, by number; `after` is the `first_seq` of the last row already seen."""
    if not connection.execute(sql.EXISTS, {"producer_id": producer_id}).scalar_one():
        raise NotFound(f"nothing came of a producer {shown(producer_id)}", field="producer_id", value=producer_id)
    cursor = None if after is None else (producer_id, after)
    return sql.GAPS.rows(connection, MissingRange, Rows(limit, offset, cursor), producer_id=producer_id)
