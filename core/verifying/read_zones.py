"""Whether time zones mean what they meant: those that aren't known, and entries that stand on days which today's rules don't give."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from core.asking.view import root, view
from core.database.database import allow_time
from core.database.rows import rows
from core.directory.sql.unknown_zones import UnknownZones, find_unknown_zones
from core.time_zones import likely_offset, show_offset
from core.verifying.sql import zones as sql
from core.verifying.sql.invariants.invariant import EVER

MANDATES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class FormerRules:
    """Entries of a zone on other days than today's rules give, and the offset from UTC under which they were most likely recorded.

    Offsets are written such as +01:00. Where none near today's explains the entries, there is no `likely_offset`.
    """

    time_zone: str
    mandates: int
    entries: int
    first: datetime
    last: datetime
    present_offset: str
    likely_offset: str | None


@dataclass(frozen=True, slots=True)
class FormerOffset:
    """An offset from UTC under which entries of a zone, recorded before a time, may stand: who accepted it, and why."""

    time_zone: str
    offset_seconds: int
    occurred_from: datetime
    occurred_until: datetime
    recorded_before: datetime
    accepted_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ZoneReport:
    """What is wrong with time zones, and which former offsets were accepted."""

    unknown: UnknownZones
    former: list[FormerRules]
    accepted: list[FormerOffset]

    @property
    def ok(self) -> bool:
        """Whether nobody has anything to do."""
        return not self.unknown.total and not self.former


@view(None, sees=root("look after time zones"))
def unknown_zones(connection: Connection, *, rows_max: int = MANDATES_MAX) -> UnknownZones:
    """Mandates whose zone this program or the database doesn't know, or didn't when their settings were made."""
    return find_unknown_zones(connection, rows_max)


@view(None, sees=root("look after time zones"))
def check_zones(connection: Connection) -> ZoneReport:
    """All that is wrong with time zones. It reads the whole books."""
    allow_time(connection)
    former = rows(connection, _former_rules, sql.OFF_DAYS, since=EVER)
    return ZoneReport(find_unknown_zones(connection, MANDATES_MAX), former, rows(connection, FormerOffset, sql.ACCEPTED))


def _former_rules(*, present: timedelta, at_least: timedelta, less_than: timedelta, **about: Any) -> FormerRules:
    """An offset from UTC of `at_least` and `less_than` these explains the days of all the entries, if there is one; today's is `present`."""
    likely = likely_offset(present, at_least, less_than)
    return FormerRules(**about, present_offset=show_offset(present), likely_offset=None if likely is None else show_offset(likely))
