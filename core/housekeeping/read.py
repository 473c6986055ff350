"""Whether the tables are ready for what comes, for reading."""

from dataclasses import dataclass

from sqlalchemy import Connection

from core.asking.view import root, view
from core.housekeeping.sql import housekeeping as sql


@dataclass(frozen=True, slots=True)
class Partitions:
    """Months (UTC), such as 2026-01, that should have a partition and have none, and whether entries stand in the default one meanwhile."""

    this_month: str
    missing: list[str]
    rows_in_default: bool


@view(None, sees=root("look after partitions"))
def partitions(connection: Connection, *, months_ahead: int) -> Partitions:
    """Which partitions are missing of this month and `months_ahead` months after it."""
    return Partitions(sql.this_month(connection), sql.missing_months(connection, months_ahead), sql.has_rows_in_default(connection))
