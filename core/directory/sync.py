"""Synchronising the directory: the mirror follows the application's own database."""

from sqlalchemy import Connection

from core.config import Configuration
from core.database.database import Database, allow_time, transaction_time
from core.directory.source import MANDATES, MEMBERSHIPS, USERS, directory_source
from core.directory.sql.requests import JOB, is_sync_due
from core.directory.sql.staging import Change, compare_with_mirror, stage, take_over
from core.directory.sql.unknown_zones import find_unknown_zones
from core.errors import RequestRefused
from core.jobs.model import moment_at
from core.jobs.run_job import run_job

DISABLED_ALWAYS_ALLOWED = 10
_PARTS = (USERS, MEMBERSHIPS, MANDATES)  # an import has the same order


def sync_directory(
    database: Database, *, config: Configuration, worker: str, at_once: bool = False, confirmed: bool = False
) -> dict[str, int] | None:
    """Makes the mirror what the application's database says, in one transaction; where that fails, the mirror stays as it is.

    Nothing is deleted: a mandate or membership that is gone is disabled, a user keeps their names. A replay changes nothing.

    Args:
        database: under the worker's login.
        config: names the source, its SELECTs and its limits.
        worker: the name that the run carries in `job_runs`.
        at_once: even if it isn't due by now.
        confirmed: take the answer over however much it would disable.

    Returns:
        What was counted, in rows; or none where nothing is due or somebody else is at it.

    Raises:
        StorageUnavailable: the source or the books can't answer now.
        Misconfigured: `DIRECTORY_URL` or a SELECT is wrong; the message names it, and the column that is missing.
        RequestRefused: the answer would disable more than is believed without confirmation.
    """

    def due(connection: Connection) -> str | None:
        if at_once or is_sync_due(connection, config.directory_sync_seconds):
            return moment_at(transaction_time(connection))
        return None

    config.require_directory_url()
    return run_job(database, JOB, lambda _: _synced(database, config, confirmed=confirmed), worker=worker, due=due)


def _synced(database: Database, config: Configuration, *, confirmed: bool) -> dict[str, int]:
    with directory_source(config) as source, database.transaction() as connection:
        allow_time(connection)
        for part in _PARTS:
            stage(connection, part, source.rows(part))
        changes = {part.name: compare_with_mirror(connection, part) for part in _PARTS}
        if not confirmed:
            for name, change in changes.items():
                _check_believable(name, change, config.directory_disabled_percent_max)
        for part in _PARTS:
            take_over(connection, part)
        unknown = find_unknown_zones(connection, 1).total
    return _counts(changes) | {"time_zones_unknown": unknown}


def _check_believable(name: str, change: Change, percent_max: float) -> None:
    """Returns unless so much would be disabled that the answer is more likely wrong than true."""
    if change.disabled > DISABLED_ALWAYS_ALLOWED and change.disabled * 100 > change.enabled_before * percent_max:
        raise RequestRefused(
            f"the directory's answer would disable {change.disabled} of {change.enabled_before} enabled {name}, more than {percent_max:g} %"
            " (TOLLBOOK_DIRECTORY_DISABLED_PERCENT_MAX), and was not taken over: look at the application's database;"
            " if it is right, run `tollbook directory sync --confirm`"
        )


def _counts(changes: dict[str, Change]) -> dict[str, int]:
    counts = {}
    for name, change in changes.items():
        counts[name] = change.answered
        counts[f"{name}_changed"] = change.changed
        counts[f"{name}_refused"] = change.refused
        if name != "users":
            counts[f"{name}_disabled"] = change.disabled
    return counts
