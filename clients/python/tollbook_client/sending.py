"""The thread that sends: events wait in memory, bounded, and leave in batches; each is confirmed, or given to `on_error`."""

import json
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tollbook_client.ending import forget, keep_until_closed
from tollbook_client.errors import Closed, QueueFull
from tollbook_client.forking import tell_of_forks
from tollbook_client.journal import Journal
from tollbook_client.transport import Transport

log = logging.getLogger("tollbook_client")
OnError = Callable[[list[dict[str, Any]], Exception], None]
_PAUSE_SECONDS_MAX = 5.0


class Sender:
    """Sends events in batches, in the order in which they were put. Any number of threads may put; a forked child begins anew.

    Each event is settled once: confirmed by the broker, or given to `on_error`.

    Args:
        transport: where to; its patience is not used, the sender has its own.
        journal: where events are written down before they are sent.
        batch_events_max, batch_seconds: a batch leaves when it has so many, or its first has waited so long.
        queue_events_max: how many may be unsettled.
        retry_seconds: how long a batch is tried before it is given to `on_error`.
        on_error: called in the sending thread, or in the one that closes.
    """

    def __init__(
        self,
        transport: Transport,
        journal: Journal | None,
        *,
        batch_events_max: int,
        batch_seconds: float,
        queue_events_max: int,
        retry_seconds: float,
        on_error: OnError | None,
    ) -> None:
        self._transport, self._journal = transport, journal
        self._batch_events_max, self._batch_seconds, self._queue_events_max = batch_events_max, batch_seconds, queue_events_max
        self._retry_seconds, self._on_error = retry_seconds, on_error or _logged
        self.forked()
        tell_of_forks(self)

    def forked(self) -> None:
        """Begins anew: what waited is the parent's to send."""
        self._changed, self._stop = threading.Condition(), threading.Event()
        self._waiting: deque[bytes] = deque()
        self._sending: list[bytes] = []
        self._taken = self._settled = 0  # of all events ever
        self._wanted = 0  # as many of them are to be sent without waiting for more
        self._closing = False
        self._thread: threading.Thread | None = None

    def put(self, events: int, bodies: Callable[[], list[bytes]], wait_seconds: float) -> None:
        """Takes so many events over, all or none; `bodies` makes them, in the order in which they will be sent, and must not fail.

        Raises:
            QueueFull: there was no room within `wait_seconds`.
            Closed: it is closed.
        """
        if events > self._queue_events_max:
            raise QueueFull(f"{events} events at once; {self._queue_events_max} may wait (queue_events_max)")
        with self._changed:
            if not self._changed.wait_for(lambda: self._closing or self._has_room(events), wait_seconds):
                raise QueueFull(f"{self._taken - self._settled} events wait for the broker; {self._queue_events_max} may (queue_events_max)")
            if self._closing:
                raise Closed("the client is closed")
            if self._thread is None:
                self._start()
            self._waiting.extend(bodies())
            self._taken += events
            self._changed.notify_all()

    def flush(self, timeout_seconds: float | None) -> bool:
        """Waits until all that was put before is settled; False where that takes longer, and at once in `on_error`, which it would wait for."""
        if threading.current_thread() is self._thread:
            return False
        with self._changed:
            target = self._wanted = self._taken
            self._changed.notify_all()
            return bool(self._changed.wait_for(lambda: self._settled >= target, timeout_seconds))

    def retire(self) -> None:
        """Takes nothing more; what waits is sent, without anybody waiting for it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, timeout_seconds: float) -> None:
        """Takes nothing more, and sends what waits for so long; what isn't confirmed by then is given to `on_error`. Repeatable."""
        self.retire()
        self.flush(timeout_seconds)
        self._stop.set()
        with self._changed:
            hangs, left = bool(self._sending), [*self._sending, *self._waiting]
            self._sending = []
            self._waiting.clear()
        self._give_up(left, Closed("the client was closed before the broker confirmed"))
        if self._thread is not None and self._thread is not threading.current_thread() and not hangs:
            self._thread.join(timeout_seconds)  # it may be in `on_error`

    def _has_room(self, events: int) -> bool:
        return self._taken - self._settled + events <= self._queue_events_max

    def _start(self) -> None:
        thread = threading.Thread(target=self._send_all, name="tollbook-client", daemon=True)
        keep_until_closed(self)
        try:
            thread.start()
        except RuntimeError:
            forget(self)
            raise
        self._thread = thread

    def _send_all(self) -> None:
        while batch := self._next_batch():
            error = self._delivered(batch)
            if not self._is_ours(batch):
                continue
            if error is None:
                self._settle(len(batch))
            else:
                self._give_up(batch, error)
        self._transport.close()
        forget(self)

    def _next_batch(self) -> list[bytes]:
        """Up to a batch's events, once it is full or its time has come; none when the client is closed and nothing waits."""
        waiting = self._waiting
        with self._changed:
            self._changed.wait_for(lambda: waiting or self._closing)
            full = time.monotonic() + self._batch_seconds
            self._changed.wait_for(lambda: len(waiting) >= self._batch_events_max or self._is_wanted(), full - time.monotonic())
            self._sending = batch = [waiting.popleft() for _ in range(min(len(waiting), self._batch_events_max))]
            return batch

    def _is_wanted(self) -> bool:
        return self._closing or self._taken - len(self._waiting) < self._wanted

    def _is_ours(self, batch: list[bytes]) -> bool:
        """Whether the batch is still this thread's to settle; whoever closed has it otherwise."""
        with self._changed:
            ours = self._sending is batch
            if ours:
                self._sending = []
            return ours

    def _delivered(self, batch: Sequence[bytes]) -> Exception | None:
        """Returns once the broker has confirmed the batch; else why it hasn't, when the time is up or the client is closed. Never raises."""
        deadline = time.monotonic() + self._retry_seconds
        in_journal = self._journal is None
        for attempt in range(10**6):
            in_journal, error = self._tried(batch, in_journal=in_journal)
            if error is None:
                if attempt:
                    log.info("usage is taken again")
                return None
            if attempt == 0:
                log.warning("usage can't be sent, trying again for %.0f s: %s", self._retry_seconds, error)
            pause = min(_PAUSE_SECONDS_MAX, 0.1 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1)  # noqa: S311 - spreads retries
            if time.monotonic() + pause > deadline or self._stop.wait(pause):
                break
        return error

    def _tried(self, batch: Sequence[bytes], *, in_journal: bool) -> tuple[bool, Exception | None]:
        """Whether the batch is in the journal now, and why the broker hasn't confirmed it, if it hasn't."""
        try:
            if self._journal is not None and not in_journal:
                self._journal.append(batch)
                in_journal = True
            self._transport.publish(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread must go on, or events wait for ever
            return in_journal, error
        return in_journal, None

    def _give_up(self, batch: Sequence[bytes], error: Exception) -> None:
        if batch:
            try:
                self._on_error([_decoded(body) for body in batch], error)
            except (Exception, SystemExit):  # which would end this thread alone, and leave what is recorded after it waiting for ever
                log.exception("on_error failed")
                _logged([_decoded(body) for body in batch], error)
            self._settle(len(batch))

    def _settle(self, events: int) -> None:
        with self._changed:
            self._settled += events
            self._changed.notify_all()


def _decoded(body: bytes) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(body)
    return event


def _logged(events: list[dict[str, Any]], error: Exception) -> None:
    for event in events:
        log.error("event not delivered (%s): %s", error, json.dumps(event, ensure_ascii=False))
