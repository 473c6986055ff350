"""SQL of the time zones that a mandate should have and this program or the database does not know."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from core.database.known_zones import known_zones

_NAMES = text("""
    SELECT time_zone FROM billing_settings UNION SELECT time_zone FROM directory_mandates WHERE time_zone <> ''
""")


_TROUBLED = text("""
    SELECT *, count(*) OVER () AS altogether FROM (
        SELECT mandate_id, time_zone_missing AS named, time_zone AS taken FROM billing_settings WHERE time_zone_missing IS NOT NULL
        UNION ALL
        SELECT mandate_id, time_zone, NULL FROM billing_settings WHERE time_zone = ANY(:unknown)
        UNION ALL
        SELECT d.id, d.time_zone, NULL FROM directory_mandates d
         WHERE d.time_zone = ANY(:unknown) AND d.enabled AND NOT EXISTS (SELECT FROM billing_settings s WHERE s.mandate_id = d.id)
    ) AS troubled ORDER BY mandate_id LIMIT :rows_max
""")


@dataclass(frozen=True, slots=True)
class UnknownZone:
    """A mandate whose time zone is not known, or wasn't when its settings were made: then they have `taken` instead.

    `is_known`: by now this program and the database both know it, and somebody only has to choose it.
    """

    mandate_id: str
    time_zone: str
    taken: str | None
    is_known: bool


@dataclass(frozen=True, slots=True)
class UnknownZones:
    """The first such mandates, and how many there are."""

    mandates: list[UnknownZone]
    total: int


def find_unknown_zones(connection: Connection, rows_max: int) -> UnknownZones:
    """Mandates whose zone this program or the database doesn't know, or didn't when their settings were made, by mandate id."""
    names = set(connection.execute(_NAMES).scalars())
    unknown = names - known_zones(connection, names)
    found = connection.execute(_TROUBLED, {"unknown": sorted(unknown), "rows_max": rows_max}).all()
    known = known_zones(connection, {row.named for row in found})
    return UnknownZones([UnknownZone(row.mandate_id, row.named, row.taken, row.named in known) for row in found], found[0].altogether if found else 0)
