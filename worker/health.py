"""Whether a worker lives, and whether it does its work: told at once, out of what is known already."""

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from core.database.database import database
from core.errors import TollbookError

ASK_SECONDS = 5.0
ANSWER_SECONDS = 15.0  # a database that has not answered for so long is away


def ask_database() -> None:
    """Returns if the database answers.

    Raises:
        StorageUnavailable, Misconfigured: it can't.
    """
    with database().transaction():
        pass


class Health:
    """What keeps a worker from living or working, in words; nothing here waits for a server.

    Args:
        worker: Celery's, at any time since its start.
        ask: raises a TollbookError while the database can't answer.
    """

    def __init__(self, worker: Any, ask: Callable[[], None] = ask_database) -> None:
        self._worker, self._ask = worker, ask
        self._answered_at = monotonic()
        self._why = "has not answered yet"  # while it does, nothing

    def begin(self) -> None:
        """Asks the database every five seconds, in a thread of its own, as long as the process lives."""
        threading.Thread(target=self._keep_asking, name="health", daemon=True).start()

    def stuck(self) -> list[str]:
        """Why the process should be started anew: pumps whose threads have ended by themselves, or hang. Nothing: it lives."""
        intake = getattr(self._worker, "intake", None)
        return list(intake.stuck()) if intake is not None else []

    def missing(self) -> list[str]:
        """What is missing for it to do its work: pumps that consume, a connection of Celery's consumer, a database that answers."""
        intake = getattr(self._worker, "intake", None)
        waiting = list(intake.waiting()) if intake is not None else []
        return [*waiting, *self._of_consumer(), *self._of_database()]

    def ask_once(self) -> None:
        """Asks the database, and notes what it answers."""
        try:
            self._ask()
        except TollbookError as error:
            self._why = str(error)
        except Exception as error:  # noqa: BLE001 - the thread goes on: it would be said for ever that the database is away
            self._why = f"{type(error).__name__}: {error}"
        else:
            self._answered_at, self._why = monotonic(), ""

    def _of_consumer(self) -> list[str]:
        consumer = getattr(self._worker, "consumer", None)
        connection = getattr(consumer, "connection", None)
        if connection is None or not connection.connected:
            return ["consumer: not connected to the broker"]
        return [] if getattr(consumer, "task_consumer", None) is not None else ["consumer: takes no messages yet"]

    def _of_database(self) -> list[str]:
        silent = monotonic() - self._answered_at
        why = self._why or (f"has not answered for {silent:.0f} s" if silent > ANSWER_SECONDS else "")
        return [f"database: {why}"] if why else []

    def _keep_asking(self) -> None:
        while True:
            self.ask_once()
            sleep(ASK_SECONDS)
