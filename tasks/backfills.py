"""What the directory's mandates and members lack in the books."""

from typing import Any

import structlog
from celery import shared_task

from core.config import configuration
from core.database.database import database
from core.recording.backfill_accounts import backfill_accounts
from core.settings.backfill import backfill_settings
from tasks.job import Job

log = structlog.get_logger()


@shared_task(base=Job, name="settings.backfill", bind=True)
def run_settings_backfill(self: Any) -> dict[str, int] | None:
    """Default settings for enabled mandates without any, once per hour; see `core.settings.backfill`."""
    counts = backfill_settings(database(), config=configuration(), worker=self.request.hostname or "local")
    if counts is not None:
        log.info("settings.backfilled", **counts)
    return counts


@shared_task(base=Job, name="accounts.backfill", bind=True)
def run_accounts_backfill(self: Any) -> dict[str, int] | None:
    """Accounts, pools and due grants, then parked events, once per hour; see `core.recording.backfill_accounts`."""
    counts = backfill_accounts(
        database(),
        config=configuration(),
        worker=self.request.hostname or "local",
        refused=lambda refusal: log.warning("accounts.grant_refused", error=str(refusal)),
    )
    if counts is not None:
        log.info("accounts.backfilled", **counts)
    return counts
