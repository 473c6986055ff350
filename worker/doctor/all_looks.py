"""The looks, in the order in which they are told."""

from core.config import Configuration
from worker.doctor import books, broker, condition, configuration, processes, rabbitmq_broker, redis_broker
from worker.doctor.looks import Look
from worker.intake.amqp_connection import is_amqp

_BOOKS = (
    Look("configuration", configuration.look_at_variables),
    Look("database", books.look_at_worker_login),
    Look("logins", books.look_at_owner_login, ("database",)),
    Look("revision", books.look_at_revision, ("database",)),
    Look("tables", books.look_at_tables, ("revision",)),
    Look("server", books.look_at_server, ("database",)),
    Look("clock", books.look_at_clock, ("database",)),
    Look("partitions", books.look_at_partitions, ("revision",)),
    Look("zones", books.look_at_zones, ("revision",)),
    Look("directory", books.look_at_directory),
)
_REDIS = (
    Look("memory", redis_broker.look_at_memory, ("broker",)),
    Look("persistence", redis_broker.look_at_persistence, ("broker",)),
    Look("replication", redis_broker.look_at_replication, ("broker",)),
    Look("rights", redis_broker.look_at_rights, ("broker",)),
    Look("foreign lists", broker.look_at_foreign_lists, ("broker",)),
)
_RABBITMQ = (
    Look("queues", rabbitmq_broker.look_at_queues, ("broker",)),
    Look("publishing", rabbitmq_broker.look_at_publishing, ("broker",)),
    Look("policies", rabbitmq_broker.look_at_policies, ("broker",)),
)
_BOTH = (
    Look("installation", books.look_at_installation, ("revision", "broker")),
    Look("workers", processes.look_at_workers, ("broker",)),
    Look("connections", books.look_at_connections, ("database",), after=("workers",)),
    Look("flower", processes.look_at_flower),
    Look("jobs", condition.look_at_jobs, ("revision",)),
    Look("findings", condition.look_at_findings, ("revision",)),
    Look("prices", condition.look_at_prices, ("revision",)),
    Look("waiting", condition.look_at_waiting, ("revision",)),
    Look("dead letters", condition.look_at_letters, ("revision",)),
)


def looks_at(config: Configuration) -> tuple[Look, ...]:
    """The looks that make sense for this configuration's kind of broker."""
    url = config.broker_url.get_secret_value() if config.broker_url else ""
    return (*_BOOKS, Look("broker", broker.look_at_broker), *(_RABBITMQ if is_amqp(url) else _REDIS), *_BOTH)
