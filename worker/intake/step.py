"""The bootstep that makes the pump part of `celery -A worker.app worker`."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.worker import state as worker_state

from core.config import Configuration, configuration
from core.database.database import database
from core.errors import Misconfigured, StorageUnavailable
from core.schema.revision import require_current
from tasks.usage import UsageDoor
from worker.installation import check_installation
from worker.intake.amqp_connection import is_amqp
from worker.intake.amqp_source import AmqpSource
from worker.intake.intake import Intake
from worker.intake.pump import BACKLOG_FACTOR_MAX, Ask, Pump
from worker.intake.redis_source import RedisSource, connect
from worker.intake.reporter import Reporter
from worker.intake.source import Source
from worker.preflight import served_broker
from worker.queue_limits import USAGE_QUEUES

log = structlog.get_logger()


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
    return [queue for queue in USAGE_QUEUES if queue in app.amqp.queues.consume_from]


def _source(worker: Any, queues: list[str], config: Configuration) -> Callable[[], Source]:
    """Makes a source for each pump: of the kind that the broker's URL names."""
    url = served_broker(config.require_broker_url())
    options: dict[str, Any] = {"worker": worker.hostname, "visibility_seconds": config.intake_visibility_seconds}
    if is_amqp(url):
        # Above the largest claim, so that the next messages arrive while one is recorded.
        prefetch = config.intake_batch_messages * BACKLOG_FACTOR_MAX * 3 // 2
        return partial(AmqpSource, url, queues, prefetch_messages=prefetch, may_start=_database_answers, **options)
    return partial(RedisSource, connect(url), queues, **options)


def _database_answers() -> bool:
    try:
        with database().transaction():
            return True
    except (StorageUnavailable, Misconfigured):
        return False


def _ask_books() -> Ask:
    """Asks whether the books answer.

    At the first answer also whether they are at this program's revision, and books and broker this installation's: the start may not
    have reached them.
    """
    known = False

    def ask() -> None:
        nonlocal known
        with database().transaction() as connection:
            if not known:
                require_current(connection)
        if not known and not check_installation():
            raise StorageUnavailable("books or broker can't be asked whose they are")
        known = True

    return ask


def _intake(worker: Any, queues: list[str], config: Configuration) -> Intake:
    handle, source, ask_books = UsageDoor.handle, _source(worker, queues, config), _ask_books()

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
            handle,
            Reporter(worker.app, worker.hostname, events_enabled),
            config,
            worker=worker.hostname,
            ask_books=ask_books,
            on_fatal=fatal,
        )
        for n in range(1, config.intake_threads + 1)
    ]
    return Intake(pumps, queues, config)
