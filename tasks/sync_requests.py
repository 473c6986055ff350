"""Asking for a sync of the directory when usage of an unknown mandate was parked.

It must hold no pump up and no event back: a thread of its own asks, at most once every few seconds over all workers, and
what goes wrong is only logged, since the schedule makes it up.
"""

import threading
from time import sleep

import structlog
from celery import current_app

from core.config import configuration
from core.database.database import database
from core.directory.sql.requests import JOB, PAUSE_SECONDS, claim_request

log = structlog.get_logger()

EXPIRES_SECONDS = 60  # the schedule has asked again long before


class SyncRequests:
    """The requests of one process; safe to share by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked, self._busy = False, False

    def ask(self, worker: str) -> None:
        """Has a sync asked for, now or after the pause that follows a request; returns at once."""
        if not configuration().directory_url:
            return
        with self._lock:
            self._asked = True
            if self._busy:
                return
            self._busy = True
        threading.Thread(target=self._work, args=(worker,), name="sync-requests", daemon=True).start()

    def _work(self, worker: str) -> None:
        """Asks, and again after each pause in which somebody else wanted it."""
        while True:
            with self._lock:
                if not self._asked:
                    self._busy = False
                    return
                self._asked = False
            try:
                if not _asked_for(worker):  # a request of another worker may have been too early for this one's event
                    sleep(PAUSE_SECONDS)
                    _asked_for(worker)
            except Exception as error:  # noqa: BLE001 - whatever a broker raises: the schedule asks as well
                log.warning("directory.not_asked_for", error=f"{type(error).__name__}: {error}")
            sleep(PAUSE_SECONDS)


def _asked_for(worker: str) -> bool:
    """Whether it was this process's turn to send the task."""
    with database().transaction() as connection:
        if not claim_request(connection, worker):
            return False
    current_app.send_task(JOB, expires=EXPIRES_SECONDS, retry=False, ignore_result=True)
    return True


sync_requests = SyncRequests()
