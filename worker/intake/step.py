"""The bootstep that makes the pump part of `celery -A worker.app worker`."""

import os
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.worker import state as worker_state

from core.config import Configuration, configuration
from tasks.message import Message
from tasks.usage import RECORD, UsageDoor
from worker.intake.envelope import open_envelope, plain_message
from worker.intake.intake import Intake
from worker.intake.pump import Pump
from worker.intake.redis_source import RedisSource, connect
from worker.intake.reporter import Reporter
from worker.intake.source import Entry

log = structlog.get_logger()

QUEUE, PLAIN_QUEUE = "usage", "usage.json"


class IntakeStep(bootsteps.StartStopStep):
    """Serves the usage queues that the worker was started with, in place of Celery's own consumer."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        worker.intake = None
        super().__init__(worker, **options)

    def include_if(self, worker: Any) -> bool:
        """Only where the configuration says `pump` and the worker serves a usage queue."""
        return configuration().intake == "pump" and bool(_served(worker.app))

    def create(self, worker: Any) -> Any:
        """Takes the usage queues away from Celery's consumer and makes the pumps for them."""
        queues = _served(worker.app)
        worker.app.amqp.queues.deselect(queues)
        worker.intake = _intake(worker, queues, configuration())
        return self

    def start(self, worker: Any) -> None:
        """After the pool has forked or started."""
        worker.intake.start()

    def close(self, worker: Any) -> None:
        """A stop begins: claim no more, while Celery's consumer says goodbye to the broker."""
        worker.intake.finish()

    def stop(self, worker: Any) -> None:
        """Warm shutdown: finish or give back within the configured time."""
        worker.intake.stop(configuration().intake_shutdown_seconds)

    def terminate(self, worker: Any) -> None:
        """Cold shutdown: what is not committed by now goes back to its queue."""
        worker.intake.stop(1.0)


def _served(app: Celery) -> list[str]:
    return [queue for queue in (QUEUE, PLAIN_QUEUE) if queue in app.amqp.queues.consume_from]


def _intake(worker: Any, queues: list[str], config: Configuration) -> Intake:
    client = connect(config.require_broker_url())
    handle = UsageDoor.handle

    def source() -> RedisSource:
        return RedisSource(client, queues, worker=worker.hostname, visibility_seconds=config.intake_visibility_seconds)

    def fatal(error: str) -> None:
        log.error("intake.misconfigured", error=error)
        worker_state.should_stop = os.EX_CONFIG  # type: ignore[assignment]

    def events_enabled() -> bool:
        dispatcher = getattr(getattr(worker, "consumer", None), "event_dispatcher", None)
        return bool(dispatcher is not None and dispatcher.enabled)

    pumps = [
        Pump(
            f"intake-{n}",
            source(),
            _open,
            handle,
            Reporter(worker.app, worker.hostname, events_enabled),
            config,
            worker=worker.hostname,
            on_fatal=fatal,
        )
        for n in range(1, config.intake_threads + 1)
    ]
    return Intake(pumps, source(), queues, config)


def _open(entry: Entry) -> Message:
    return plain_message(entry, RECORD) if entry.queue == PLAIN_QUEUE else open_envelope(entry, RECORD)
