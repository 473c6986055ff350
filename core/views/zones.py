"""Whether time zones mean what they meant: those that aren't known, and entries that stand on days which today's rules don't give."""

from dataclasses import dataclass
from datetime import datetime

from core.domain.rights import Actor, require_root
from core.domain.time_zones import likely_offset, show_offset
from core.storage.database import Database, allow_time
from core.storage.reading.zones import FormerOffset, OffDays, UnknownZones, find_off_days, find_unknown_zones, list_accepted

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
class ZoneReport:
    """What is wrong with time zones, and which former offsets were accepted."""

    unknown: UnknownZones
    former: list[FormerRules]
    accepted: list[FormerOffset]

    @property
    def ok(self) -> bool:
        """Whether nobody has anything to do."""
        return not self.unknown.total and not self.former


def unknown_zones(database: Database, actor: Actor, *, rows_max: int = MANDATES_MAX) -> UnknownZones:
    """Mandates whose zone this program or the database doesn't know, or didn't when their settings were made.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "look after time zones")
    with database.snapshot() as connection:
        return find_unknown_zones(connection, rows_max)


def check_zones(database: Database, actor: Actor) -> ZoneReport:
    """All that is wrong with time zones. It reads the whole books and writes nothing.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "look after time zones")
    with database.snapshot() as connection:
        allow_time(connection)
        former = [_former_rules(found) for found in find_off_days(connection)]
        return ZoneReport(find_unknown_zones(connection, MANDATES_MAX), former, list_accepted(connection))


def _former_rules(found: OffDays) -> FormerRules:
    likely = likely_offset(found.present, found.at_least, found.less_than)
    about = (found.time_zone, found.mandates, found.entries, found.first, found.last)
    return FormerRules(*about, show_offset(found.present), None if likely is None else show_offset(likely))
