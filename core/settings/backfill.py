"""Backfilling settings: every enabled mandate of the directory has some, before its first usage."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from core.clock import utc_now
from core.config import Configuration
from core.database.database import Database, plan_each_time
from core.database.locks import share_mandates
from core.directory.sql.missing import page_of_mandates
from core.jobs.model import moment_at, period_at
from core.jobs.run_job import run_job
from core.settings.sql.settings import open_settings

JOB = "settings.backfill"
PERIOD_SECONDS = 3600
PAGE_ROWS = 2_000


def backfill_settings(
    database: Database, *, config: Configuration, worker: str, at_once: bool = False, clock: Callable[[], datetime] = utc_now
) -> dict[str, int] | None:
    """Gives each enabled mandate of the directory without settings the defaults, in transactions of up to 2,000 mandates.

    Once per hour (UTC), or `at_once`. A replay makes none; so does somebody else's first usage in the same moment.

    Returns:
        The number made, under `settings`; none where it is done already or somebody else is at it.

    Raises:
        StorageUnavailable, Misconfigured: it is still to be done; what was committed stays.
    """

    def due(_: Connection) -> str:
        return moment_at(clock()) if at_once else period_at(clock(), PERIOD_SECONDS)

    return run_job(database, JOB, lambda _: {"settings": _opened(database, config)}, worker=worker, due=due)


def _opened(database: Database, config: Configuration) -> int:
    made, last = 0, None
    while True:
        with database.transaction() as connection:
            plan_each_time(connection)
            page = page_of_mandates(connection, last, PAGE_ROWS)
            zones = {mandate.id: mandate.time_zone for mandate in page if mandate.is_missing}
            if zones:
                share_mandates(connection, zones)
                made += open_settings(connection, zones, JOB, default_time_zone=config.default_time_zone)
        if len(page) < PAGE_ROWS:
            return made
        last = page[-1]
