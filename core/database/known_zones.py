"""The time zones that both this program and the database know: their lists may be of different age."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, text

from core.metrics import ZONES_MISSING
from core.time_zones import is_time_zone

log = structlog.get_logger()

_KNOWN = text("SELECT name FROM pg_timezone_names WHERE name = ANY(:names)")
_ALWAYS = "UTC"


class TakenZone(NamedTuple):
    """The zone that settings get, and where that is another one than was named: which one was not known."""

    name: str
    missing: str | None


def known_zones(connection: Connection, names: Iterable[str]) -> set[str]:
    """Those of the zones that both know. Where there are others than UTC, the database reads its whole list: tens of milliseconds."""
    asked = {name for name in names if is_time_zone(name)}
    if asked <= {_ALWAYS}:
        return asked
    return set(connection.execute(_KNOWN, {"names": sorted(asked)}).scalars())


def zones_to_take(connection: Connection, named: Mapping[str, str | None], default: str) -> dict[str, TakenZone]:
    """The zone of each mandate's settings to be made: the one that is named for it, else the default; if that isn't known, the default or UTC.

    A zone that isn't known is counted and logged, by mandate.
    """
    asked = {mandate_id: zone or default for mandate_id, zone in named.items()}
    known = known_zones(connection, {*asked.values(), default})
    instead = default if default in known else _ALWAYS
    taken = {mandate_id: TakenZone(zone, None) if zone in known else TakenZone(instead, zone) for mandate_id, zone in asked.items()}
    for mandate_id, zone in taken.items():
        if zone.missing is not None:
            ZONES_MISSING.inc()
            log.warning("settings.time_zone_missing", mandate_id=mandate_id, time_zone=zone.missing, taken=zone.name)
    return taken
