"""Which of Celery's control commands a worker obeys: those that ask, those of the intake, and an orderly end.

Whoever may write to the broker's channel of control commands is believed. Celery has commands there that send any task under the worker's
own login (`election`), leave tasks out for ever (`revoke`), stop a queue or starve it (`cancel_consumer`, `rate_limit`), or make files and
lists of what is in memory. None of them is needed here.
"""

from celery.worker.control import Panel

OBEYED = frozenset(
    {
        *("ping", "hello", "clock", "heartbeat", "enable_events", "disable_events", "shutdown"),
        *("active", "reserved", "scheduled", "revoked", "registered", "query_task", "active_queues", "stats", "report", "conf"),
        *("dump_active", "dump_reserved", "dump_schedule", "dump_revoked", "dump_tasks", "dump_conf"),  # older names
        *("intake", "intake_pause", "intake_resume"),
    }
)


def limit_remote_control() -> None:
    """Applies this to the process, once, after all commands are known."""
    for name in Panel.data.keys() - OBEYED:
        Panel.data.pop(name)
        Panel.meta.pop(name, None)
