"""What is read at a scrape from somewhere that may hang: read seldom, by one thread, and never waited for longer than a scrape can."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

Read = TypeVar("Read")

EVERY_SECONDS = 10.0
PATIENCE_SECONDS = 2.0  # Prometheus gives a scrape ten by default
_KEPT_SECONDS = 60.0  # while whoever is asked takes longer than that to answer


class Refreshed(Generic[Read]):
    """The latest answer of `read`, which raises where there is none; many threads may ask for it."""

    def __init__(self, read: Callable[[], Read | None], *, every_seconds: float = EVERY_SECONDS) -> None:
        self._read, self._every_seconds = read, every_seconds
        self._lock = threading.Lock()
        self._reading: threading.Event | None = None
        self._answer: Read | None = None
        self._asked_at = self._answered_at = float("-inf")

    def latest(self) -> Read | None:
        """The answer, at most ten seconds old, or a minute if the next one lets us wait; None: there is none."""
        with self._lock:
            if self._reading is None and monotonic() - self._asked_at >= self._every_seconds:
                self._reading, self._asked_at = threading.Event(), monotonic()
                threading.Thread(target=self._refresh, args=(self._reading,), name="metrics-refresh", daemon=True).start()
            reading = self._reading
        if reading is not None:
            reading.wait(PATIENCE_SECONDS)
        return self._answer if monotonic() - self._answered_at < _KEPT_SECONDS else None

    def _refresh(self, done: threading.Event) -> None:
        answer = None
        try:
            answer = self._read()
        finally:
            with self._lock:
                self._answer, self._answered_at, self._reading = answer, monotonic(), None
            done.set()
