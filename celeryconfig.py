"""Celery's settings. What an operator may change is in core/config.py; everything here has one reason beside it."""

import os
import sys
from pkgutil import iter_modules

from celery.schedules import crontab
from kombu import Exchange, Queue

import tasks
from core.config import configuration
from core.database.database import check_urls
from core.errors import Misconfigured
from worker.intake.amqp_connection import QUORUM, is_amqp
from worker.preflight import refuse, served_broker
from worker.tls import UNVERIFIED, is_unverified, tls_options

try:
    _config = configuration()
    check_urls(_config)
    broker_url = served_broker(_config.require_broker_url())
except Misconfigured as error:
    refuse(str(error))
if os.environ.get("CELERY_BROKER_URL"):
    os.environ["CELERY_BROKER_URL"] = broker_url  # Celery looks there first, and must find no options that it alone would read
if is_unverified(broker_url):
    print(f"tollbook: {UNVERIFIED}", file=sys.stderr)  # noqa: T201 - Flower and `tollbook publish` have no other place for it
_rabbitmq = is_amqp(broker_url)
_direct = Exchange("")  # the default exchange: a message goes to the queue that its routing key names, with no binding to lose

imports = tuple(sorted(f"tasks.{module.name}" for module in iter_modules(tasks.__path__)))

# Queues: a plain worker serves all of them. `usage` and `usage.json` are emptied by the pump (worker/intake); producers may write to
# them and to `checks`, to `views` who may read everything, to `maintenance` and `movements` who may have everything done (worker/guard.py).
_plain = ["usage.json"] if _config.intake == "pump" else []  # Celery's own consumer can't read plain JSON
_queues = ["usage", "maintenance", "checks", "views", "movements", *_plain]
_arguments = QUORUM if _rabbitmq else None  # RabbitMQ: replicated and safe on disk once confirmed
task_queues = tuple(Queue(name, _direct, routing_key=name, queue_arguments=_arguments) for name in _queues)
task_default_queue = "maintenance"  # a task that is routed nowhere must not stand among the debits
task_default_exchange = ""  # as above: the default exchange
task_default_routing_key = "maintenance"  # as above
task_create_missing_queues = False  # a mistyped queue name is an error, not a queue that nobody serves
task_routes = {
    "usage.rollup": {"queue": "maintenance"},  # a whole name goes before a pattern
    "usage.close_day": {"queue": "maintenance"},
    "usage.*": {"queue": "usage"},
    "books.*": {"queue": "maintenance"},
    "parked.*": {"queue": "maintenance"},
    "balance.*": {"queue": "checks"},
    "caps.*": {"queue": "movements"},
    "hold.expire": {"queue": "maintenance"},
    "hold.*": {"queue": "checks"},
    "directory.*": {"queue": "maintenance"},
    "accounts.backfill": {"queue": "maintenance"},
    "settings.backfill": {"queue": "maintenance"},
    "settings.get": {"queue": "checks"},
    "settings.*": {"queue": "movements"},
    "movement.*": {"queue": "movements"},
    "alerts.*": {"queue": "maintenance"},
    "outcomes.*": {"queue": "maintenance"},
    "producers.*": {"queue": "maintenance"},
    "view.*": {"queue": "views"},
}

# Delivery guarantees of what Celery's own consumer runs.
task_acks_late = True  # a task that dies with its worker is run again: every task here may be repeated
task_acks_on_failure = True  # a failed job has told why in job_runs; the schedule runs it again
task_reject_on_worker_lost = True  # as acks_late, for a pool process that is killed
task_ignore_result = True  # outcomes are in the books; a result backend would be one more thing to break
result_backend = None  # as above
worker_prefetch_multiplier = 1  # a slow job doesn't hold the next one back from another worker
task_publish_retry_policy = {"max_retries": 5, "interval_start": 0.1, "interval_step": 0.5, "interval_max": 3.0}  # a broker may blink

# Only JSON is ever deserialised: whoever can write to the broker must not be able to run code.
accept_content = ["json"]
task_serializer = "json"
event_serializer = "json"
result_accept_content = ["json"]

# The worker's processes.
worker_consumer = "worker.guard:GuardedConsumer"  # a queue that producers write to yields only what it is for
worker_pool = "threads"  # the pump records in its own threads; forked children would stand idle beside it
worker_concurrency = 8  # more than jobs ever run at once, so that a balance check finds a thread; within TOLLBOOK_DATABASE_POOL_SIZE
worker_send_task_events = True  # Flower shows what happened
task_send_sent_event = False  # one event less per message; producers needn't tell that they sent
worker_hijack_root_logger = False  # worker/observability.py sets logging up
worker_redirect_stdouts = False  # as above
worker_cancel_long_running_tasks_on_connection_loss = False  # jobs may be repeated, so they may as well finish
worker_soft_shutdown_timeout = _config.intake_shutdown_seconds  # SIGQUIT too lets a running job finish

# The broker: never give up on it.
broker_connection_retry_on_startup = True  # a worker may start before its broker
broker_connection_max_retries = None  # and outlives any outage
broker_channel_error_retry = True  # also one in which the broker answers, but refuses: memory full, read-only replica
_redis_options = {
    "visibility_timeout": 3600,  # seconds after which an unfinished job of a dead worker is run again; longer than any job
    "unacked_restore_interval": 5,  # seconds between two looks for such jobs
    "unacked_restore_throttle": 1,  # look at each of them
    "health_check_interval": 10,  # seconds: a half-open connection is noticed
    "socket_timeout": 5,  # seconds; what the broker is asked is answered at once
    "socket_connect_timeout": 5,  # seconds
    "socket_keepalive": True,  # as health_check_interval, by the kernel
    "priority_steps": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],  # a list for each priority that a producer may have steps for
    "unacked_key": "tollbook.unacked",  # keys of our own: on a shared broker the shortest visibility of any program wins
    "unacked_index_key": "tollbook.unacked_index",  # as above
    "unacked_mutex_key": "tollbook.unacked_mutex",  # as above
}
_rabbitmq_options = {
    "confirm_publish": True,  # what is published is in the queue, or an error: without it RabbitMQ drops silently
    "write_timeout": 5,  # seconds; RabbitMQ stops reading from publishers while its memory is full
}
broker_transport_options = _rabbitmq_options if _rabbitmq else _redis_options
broker_use_ssl = tls_options(broker_url) or False  # worker/tls.py: by default the broker's certificate and host name are checked
broker_heartbeat = 10  # seconds: a half-open connection to RabbitMQ is noticed after twice this time
worker_detect_quorum_queues = True  # they refuse a prefetch limit that all consumers of a channel share

# Beat: times are UTC; each job's effect happens once per period, however many beats there are.
enable_utc = True  # local days are made in SQL, per mandate
timezone = "UTC"  # as above
beat_max_loop_interval = 30  # seconds: beat notices a change of clock soon
beat_enable_remote_control = True  # `celery inspect ping -d celerybeat@HOST` tells a stalled beat from a living one
# What is done once per period is asked for more often than that: a failure is made up soon, and a repetition does nothing.
beat_schedule = {
    "books.housekeep": {
        "task": "books.housekeep",
        "schedule": crontab(minute="17"),
        "options": {"expires": 3600},  # a worker that was away for days finds no pile
    },
    "books.reconcile": {
        "task": "books.reconcile",
        "schedule": crontab(minute="37"),  # done at the first of a UTC day
        "options": {"expires": 3600},
    },
    "directory.sync": {
        "task": "directory.sync",
        "schedule": 15.0,  # seconds; the task itself knows when it is due
        "options": {"expires": 15},
    },
    "settings.backfill": {
        "task": "settings.backfill",
        "schedule": crontab(minute="2-59/10"),
        "options": {"expires": 600},
    },
    "accounts.backfill": {
        "task": "accounts.backfill",
        "schedule": crontab(minute="4-59/10"),  # after the settings
        "options": {"expires": 600},
    },
    "parked.release": {
        "task": "parked.release",
        "schedule": 15.0,  # seconds: an event parked while its mandate became known is recorded soon
        "options": {"expires": 15},
    },
    "hold.expire": {
        "task": "hold.expire",
        "schedule": 5.0,  # seconds: answers leave out what is over anyway; this keeps it from piling up
        "options": {"expires": 5},
    },
    "producers.merge": {
        "task": "producers.merge",
        "schedule": 10.0,  # seconds: what is missing of a producer's numbers is known soon
        "options": {"expires": 10},
    },
    "outcomes.publish": {
        "task": "outcomes.publish",
        "schedule": 5.0,  # seconds: a producer hears of a refused event soon
        "options": {"expires": 5},
    },
    "usage.rollup": {
        "task": "usage.rollup",
        "schedule": 120.0,  # seconds: how old statistics are at most, while all is well
        "options": {"expires": 120},
    },
    "usage.close_day": {
        "task": "usage.close_day",
        "schedule": crontab(minute="7"),  # a day is closed once, soon after it has ended in the last time zone
        "options": {"expires": 3600},
    },
}
if _config.alerts_queue_max:  # off by default: a queue that nobody empties would only fill up
    beat_schedule["alerts.publish"] = {
        "task": "alerts.publish",
        "schedule": 5.0,  # seconds: whoever is to be told hears of it soon
        "options": {"expires": 5},
    }
