"""Mandates whose time zones aren't known, for people: what it means, and what helps."""

from collections.abc import Iterator

from cli.output.notes import warn
from cli.output.text import counted, printable
from core.directory.sql.unknown_zones import UnknownZone, UnknownZones

SHOWN_MAX = 20


def warn_of_zones(found: UnknownZones) -> None:
    """Says it on standard error, if there are any."""
    for line in zone_lines(found):
        warn(f"{line}")


def zone_lines(found: UnknownZones) -> Iterator[str]:
    """A line for each of the first mandates, one for all others."""
    for mandate in found.mandates[:SHOWN_MAX]:
        yield _line(mandate)
    if found.total > SHOWN_MAX:
        yield f"{counted(found.total - SHOWN_MAX, 'further mandate')} with time zones that are not known, see tollbook zones check --json"


def _line(found: UnknownZone) -> str:
    mandate_id, zone = printable(found.mandate_id), printable(found.time_zone)
    choose = f"`tollbook settings update {mandate_id} --time-zone {zone}`"
    days = f"its days are those of {found.taken}" if found.taken else "its days can't be told"
    if found.is_known:
        return f"mandate {mandate_id}: {days}, since {zone} was not known when its settings were made; now it is: {choose}"
    return (
        f"mandate {mandate_id}: time zone {zone} is not known to the database or this program, {days}: bring their time zone data up to date"
        f" and restart them, then {choose}, or choose another zone"
    )
