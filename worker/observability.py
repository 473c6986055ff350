"""Log lines and metrics of the worker processes."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from celery.signals import celeryd_init, setup_logging, task_postrun, task_prerun

from core.config import Configuration, configuration, unread_variables
from core.printable import printable
from worker.closed_labels import count_from_zero
from worker.endpoint import serve
from worker.health import Health
from worker.preflight import refuse

log = structlog.get_logger()

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


_OF_SEVERAL_LINES = frozenset({"exception", "stack"})


def show_plainly(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Text of others in a log line, Celery's own lines among them, can't move a terminal's cursor, colour it, or begin a line of its own."""
    return {name: _plain(value, keep="\n" if name in _OF_SEVERAL_LINES else "") for name, value in line.items()}


def _plain(value: Any, *, keep: str = "") -> Any:
    if isinstance(value, str):
        return printable(value, keep=keep)
    if isinstance(value, dict):
        return {_plain(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, bool | int | float) else printable(str(value))


_CHATTY = ("alembic", "celery.worker.strategy", "celery.app.trace")  # every start and end of a job that found nothing to do


@setup_logging.connect
def configure_logging(**_: Any) -> None:
    """One line per event on standard error, JSON unless a person is watching; Celery's own lines look the same."""
    config = configuration()
    as_json = config.log_format == "json" or (config.log_format == "auto" and not sys.stderr.isatty())
    console = [show_plainly, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]  # JSON is plain by itself
    renderers = [structlog.processors.format_exc_info, *([structlog.processors.JSONRenderer()] if as_json else console)]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(level=config.log_level, handlers=[handler], force=True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[config.log_level]))
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    for line in unread_variables():
        log.warning("configuration.unread", problem=line)


@task_prerun.connect
def bind_task(task_id: str, task: Any, **_: Any) -> None:
    """Every log line of a task names it."""
    structlog.contextvars.bind_contextvars(task_id=task_id, task=task.name)


@task_postrun.connect
def unbind_task(**_: Any) -> None:
    """The next task's lines don't carry this one's name."""
    structlog.contextvars.unbind_contextvars("task_id", "task")


@celeryd_init.connect
def serve_metrics(instance: Any, **_: Any) -> None:
    """The HTTP endpoint of a worker, where a port is configured."""
    config: Configuration = configuration()
    if config.metrics_port:
        count_from_zero(instance.app)
        try:
            serve(config, Health(instance))
        except OSError as error:
            address = f"{config.metrics_host}:{config.metrics_port}"
            refuse(f"TOLLBOOK_METRICS_PORT: {address} can't be listened on ({error.strerror or error}); each process needs its own")
