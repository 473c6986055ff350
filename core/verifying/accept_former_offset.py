"""Accepting that a zone's rules were others when entries were recorded: an operator's word, kept; the entries stay as they are."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator

from core.asking.request import Asked, By, Reason
from core.asking.rights import Actor, require_root
from core.database.database import Database, allow_time
from core.errors import NotFound
from core.events.contract import Label
from core.printable import shown
from core.time_zones import parse_offset, show_offset
from core.verifying.sql.zones import accept_offset, find_explained


class FormerOffsetAsked(Asked):
    """Which zone, its offset from UTC when the entries were recorded (+01:00), and why that is so."""

    time_zone: Label
    offset: Annotated[int, BeforeValidator(parse_offset)]
    reason: Reason
    by: By


@dataclass(frozen=True, slots=True)
class OffsetAccepted:
    """How many entries it explains, which happened from `first` to `last`; what is recorded from `recorded_before` on it doesn't."""

    time_zone: str
    offset: str
    entries: int
    first: datetime
    last: datetime
    recorded_before: datetime


def accept_former_offset(database: Database, actor: Actor, asked: FormerOffsetAsked) -> OffsetAccepted:
    """Keeps that the zone had this offset when those entries were recorded that stand on its day and not on that of today's rules.

    From then on they don't break I16; any other day still does, and so does what is recorded later. It reads the whole books and
    changes no entry. Asked again there is nothing left to accept.

    Raises:
        NotFound: no entry of the zone breaks I16 and stands on the day that the offset gives.
        StorageUnavailable: it is not known whether it was done; look at `check_zones`.
    """
    require_root(actor, "accept a former offset")
    with database.transaction() as connection:
        allow_time(connection)
        explained = find_explained(connection, asked.time_zone, asked.offset)
        if explained.first is None or explained.last is None:
            raise NotFound(f"no entry in {shown(asked.time_zone)} breaks I16 and stands on the day that this offset gives")
        before = accept_offset(connection, asked.time_zone, asked.offset, explained, asked.by, asked.reason)
    return OffsetAccepted(asked.time_zone, show_offset(timedelta(seconds=asked.offset)), explained.entries, explained.first, explained.last, before)
