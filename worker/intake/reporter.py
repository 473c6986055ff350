"""Task events for Flower: one task per batch, never one per message."""

from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic, perf_counter, time
from typing import Any
from uuid import uuid4

import structlog
from celery import Celery

from core.events.message import RECORD, RECORD_BATCH, Message
from core.events.outcome import BatchResult
from core.printable import printable

log = structlog.get_logger()

_ANSWER_SECONDS = 5.0
_ERROR_CHARACTERS_MAX = 1000
_SILENT_SECONDS = 10.0  # after a failure, so that a broker that hangs does not hold up every batch


class Reporter:
    """Sends a pump's batches as task events, on a connection of its own: kombu's are not for two threads at once.

    What can't be sent is dropped: the books don't depend on it.
    """

    def __init__(self, app: Celery, hostname: str, enabled: Callable[[], bool]) -> None:
        self._app, self._hostname, self._enabled = app, hostname, enabled
        self._dispatcher: Any = None
        self._silent_until = 0.0

    def received(self, messages: Sequence[Message]) -> "Report":
        """Opens the report of a batch; `task-received` and `task-started` travel with what comes next."""
        return Report(self, messages)

    def send(self, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Sends events in one broker message; never raises."""
        if not self._enabled() or monotonic() < self._silent_until:
            return
        try:
            if self._dispatcher is None:
                self._dispatcher = self._app.events.Dispatcher(
                    self._connection(), hostname=self._hostname, buffer_group={"task"}, buffer_while_offline=False
                )
            for kind, fields in events:
                self._dispatcher.send(kind, **fields)
            self._dispatcher.flush()
        except Exception as error:  # noqa: BLE001 - whatever a broker connection raises: Flower misses a batch, the books don't
            log.debug("intake.event_not_sent", error=str(error))
            self._silent_until = monotonic() + _SILENT_SECONDS
            self.close()

    def _connection(self) -> Any:
        connection: Any = self._app.connection_for_write(transport_options={"confirm_publish": False})  # none comes while RabbitMQ's memory is full
        if connection.transport.driver_type == "amqp":
            connection.connect()
            connection.connection.sock.settimeout(_ANSWER_SECONDS)  # as socket_timeout on Redis
        return connection

    def close(self) -> None:
        """Closes the connection; the next event opens another."""
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            try:
                dispatcher.close()
                dispatcher.connection.release()
            except Exception as error:  # noqa: BLE001 - it is being thrown away
                log.debug("intake.event_connection_not_closed", error=str(error))


class Report:
    """The events of one batch."""

    def __init__(self, reporter: Reporter, messages: Sequence[Message]) -> None:
        self._reporter, self._uuid, self._began = reporter, str(uuid4()), perf_counter()
        tasks = Counter(message.task for message in messages)
        common = tasks.most_common(1)[0][0]
        name = common if common in (RECORD, RECORD_BATCH) else "unknown"  # Flower makes a label of its metrics of it, for ever
        contents = ", ".join(f"{queue} {n}" for queue, n in sorted(Counter(m.queue for m in messages).items()))
        now = time()  # they are sent later, with the end
        self._waiting: list[tuple[str, dict[str, Any]]] = [
            (
                "task-received",
                {"uuid": self._uuid, "name": name, "args": f"({contents})", "kwargs": "{}", "retries": 0, "eta": None, "timestamp": now},
            ),
            ("task-started", {"uuid": self._uuid, "timestamp": now}),
        ]

    def retried(self, error: Exception) -> None:
        """The batch is tried again later."""
        self._send("task-retried", exception=_told(error), traceback="")

    def succeeded(self, result: BatchResult) -> None:
        """The batch is committed."""
        self._send("task-succeeded", result=result.summary(), runtime=perf_counter() - self._began)

    def failed(self, error: Exception) -> None:
        """The batch was given up by this worker."""
        self._send("task-failed", exception=_told(error), traceback="")

    def _send(self, kind: str, **fields: Any) -> None:
        waiting, self._waiting = self._waiting, []
        self._reporter.send([*waiting, (kind, {"uuid": self._uuid, **fields})])


def _told(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS_MAX])
