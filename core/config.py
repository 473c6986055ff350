"""The program's own configuration, read from the environment (and a `.env` file) once.

Never called settings: settings are a mandate's billing settings (docs/glossary.md).
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

from core.errors import Misconfigured
from core.problems import problems_in
from core.time_zones import is_time_zone

_PREFIX = "TOLLBOOK_"
_ENV_FILE = ".env"
_OF_TESTS = "TOLLBOOK_TEST_"
# What Kubernetes puts into every container for each Service of its namespace: of one named tollbook-metrics TOLLBOOK_METRICS_PORT, too.
_OF_KUBERNETES = re.compile(r"TOLLBOOK(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_KUBERNETES_ADDRESS = re.compile(r"(tcp|udp|sctp)://")

PositiveInt = Annotated[int, Field(ge=1)]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Configuration(BaseSettings):
    """Each field is one environment variable: its upper-case name after `TOLLBOOK_`, or the alias given."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_file=_ENV_FILE, extra="ignore", frozen=True, populate_by_name=True)

    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="PostgreSQL login of the worker, as `postgresql://user:password@host:port/database`.",
    )
    database_owner_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_OWNER_URL",
        description="PostgreSQL login that owns the tables and migrates them. Default: the same as `DATABASE_URL`.",
    )
    database_roles: str = Field(
        "",
        description="What the names of the database's two roles begin with (`…_worker`, `…_reader`), when `tollbook db upgrade` makes them."
        " Default: the database's name. They are kept in the books: later it counts only with `--rename-roles`.",
    )
    installation: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = Field(
        "tollbook",
        description="Name of this installation: books and broker of one with another name, or in another database, are refused.",
    )
    broker_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("CELERY_BROKER_URL", "REDIS_URL"),
        description="Broker that holds the queues: Redis or Valkey, as `redis://default:password@host:port/0`, or RabbitMQ, as"
        " `amqp://user:password@host:port/vhost`; `rediss://` and `amqps://` use TLS. `REDIS_URL` is accepted too.",
    )
    broker_ca: str = Field(
        "",
        description="PEM file of the authorities that may vouch for the broker's certificate (`rediss://`, `amqps://`), in place of the system's.",
    )
    broker_certificate: str = Field("", description="PEM file of the client certificate for a broker that asks for one; it may hold the key too.")
    broker_key: str = Field("", description="PEM file of the client certificate's private key, without a passphrase.")
    broker_verify: bool = Field(
        True,
        description="Whether the broker's certificate and host name are checked. With `false` whoever answers at the broker's address is"
        " believed, and every process says so at its start.",
    )
    intake: Literal["pump", "celery"] = Field(
        "pump",
        description="Who takes usage messages off the queue: `pump` (batches, at least once, exact decimals) or"
        " `celery` (Celery's own consumer, one message at a time, with its speed and its promises).",
    )
    intake_threads: Annotated[int, Field(ge=1, le=8)] = Field(2, description="Pump threads per worker process; two overlap Python with PostgreSQL.")
    intake_batch_messages: Annotated[int, Field(ge=1, le=5000)] = Field(500, description="Messages that one claim takes at most, in messages.")
    intake_batch_bytes: PositiveInt = Field(4 * 1024 * 1024, description="Bytes after which a claim takes no further message, in bytes.")
    intake_idle_seconds: PositiveSeconds = Field(0.02, description="Pause between two looks at an empty queue, in seconds.")
    intake_visibility_seconds: PositiveSeconds = Field(
        60.0, description="Time after which another worker gets the messages of a worker that shows no sign of life, in seconds."
    )
    intake_shutdown_seconds: PositiveSeconds = Field(
        20.0, description="Time that a stopping worker gives the batch in hand before it gives the messages back, in seconds."
    )
    unknown_mandates: Literal["park", "create"] = Field(
        "park",
        description="What becomes of the usage of a mandate that the directory does not know: `park` it until it does,"
        " or `create` the mandate's settings at its first usage (for those who have no directory).",
    )
    directory_url: SecretStr | None = Field(
        None,
        validation_alias="DIRECTORY_URL",
        description="PostgreSQL database of the application, which `directory.sync` mirrors, as `postgresql://user:password@host:port/database`;"
        " a login that may only read is enough. Without it the directory comes from CSV files.",
    )
    directory_mandates_select: str = Field(
        "SELECT id, name, label, enabled, time_zone FROM mandates",
        description="SELECT for the mandates: the columns `id`, `name`, `label`, `enabled`, `time_zone`.",
    )
    directory_memberships_select: str = Field(
        "SELECT user_id, mandate_id, enabled FROM user_mandates",
        description="SELECT for the memberships: the columns `user_id`, `mandate_id`, `enabled`.",
    )
    directory_users_select: str = Field(
        "SELECT id, username, display_name FROM users", description="SELECT for the users: the columns `id`, `username`, `display_name`."
    )
    directory_sync_seconds: PositiveSeconds = Field(
        300.0, description="Time after which the directory is read anew although no unknown mandate sends usage, in seconds."
    )
    directory_timeout_seconds: PositiveSeconds = Field(60.0, description="Time that the application's database has for its whole answer, in seconds.")
    directory_disabled_percent_max: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = Field(
        20.0,
        description="Share of the enabled mandates, or of the enabled memberships, beyond which an answer that would disable more of them"
        " (and more than 10) is refused until `tollbook directory sync --confirm`, in percent.",
    )
    default_time_zone: str = Field("UTC", description="IANA zone of a mandate for which the directory names none.")
    lateness_days: Annotated[int, Field(ge=1, le=36_500)] = Field(400, description="Age at which an unseen event is rejected as `too_late`, in days.")
    parked_limit_per_mandate: PositiveInt = Field(
        100_000, description="Parked events of one mandate beyond which further ones become dead letters, in events."
    )
    parked_limit_total: PositiveInt = Field(
        1_000_000, description="Parked events altogether beyond which further ones become dead letters, in events."
    )
    suspense_limit_per_mandate: PositiveInt = Field(
        100_000, description="Events of one mandate that wait for a price beyond which further ones become dead letters, in events."
    )
    suspense_limit_total: PositiveInt = Field(
        1_000_000, description="Events that wait for a price altogether beyond which further ones become dead letters, in events."
    )
    dead_letters_max: PositiveInt = Field(
        1_000_000,
        description="Dead letters that are kept; one queue's may be half as many. Of what comes beyond, only number, reason and a hash are kept.",
    )
    dead_letters_bytes_max: PositiveInt = Field(
        4 * 1024**3, description="Bytes of dead letters that are kept; one queue's may be half as many. Beyond, as above."
    )
    alerts_queue_max: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="Messages that the queue `balance.alerts` may hold before further alerts wait in the books; 0 publishes none."
    )
    outcomes_queue_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="Messages that a producer's queue `tollbook.outcomes.NAME` may hold, and as many may wait for it, in messages."
    )
    outcome_retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        7, description="Age at which `outcomes.publish` gives up an outcome that waits, and a list that nobody reads expires, in days."
    )
    producer_gap_seconds: PositiveSeconds = Field(
        3600.0, description="Age at which numbers of a producer that are missing become a finding (C1), in seconds."
    )
    producer_retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        90, description="Time after which `books.housekeep` forgets a producer that was not seen any more, in days."
    )
    partitions_ahead: Annotated[int, Field(ge=1, le=24)] = Field(3, description="Monthly partitions that `books.housekeep` keeps ready, in months.")
    dead_letter_retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        90, description="Age at which `books.housekeep` removes a dead letter, counted from when it was resolved and last seen, in days."
    )
    job_retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        90, description="Age at which `books.housekeep` removes a row of `job_runs`, and a finding that is gone, in days."
    )
    database_pooler: Literal["auto", "transaction"] = Field(
        "auto",
        description="Whether something that changes sessions between transactions (PgBouncer, RDS Proxy) stands before PostgreSQL: `auto`"
        " notices it by itself, `transaction` takes it for granted.",
    )
    database_pool_size: PositiveInt = Field(16, description="Connections that one process keeps to PostgreSQL at most, in connections.")
    statement_timeout_seconds: PositiveSeconds = Field(
        60.0,
        description="Time after which PostgreSQL cancels one statement of a worker, in seconds. Where no answer has come five seconds later,"
        " the worker gives the connection up.",
    )
    lock_timeout_seconds: PositiveSeconds = Field(10.0, description="Time after which PostgreSQL gives up waiting for a lock, in seconds.")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(0, description="Port of the worker's Prometheus endpoint; 0 serves none.")
    metrics_host: str = Field("127.0.0.1", description="Address on which the Prometheus endpoint listens.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe log line that is written.")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="`json`, `console`, or `auto`: console on a terminal, else JSON.")

    @field_validator("metrics_port", mode="before")
    @classmethod
    def _not_of_kubernetes(cls, value: object) -> object:
        return 0 if isinstance(value, str) and _KUBERNETES_ADDRESS.match(value) else value

    @field_validator("default_time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if not is_time_zone(name):
            raise ValueError("is not an IANA time zone")
        return name

    def require_database_url(self) -> str:
        """The worker's database URL.

        Raises:
            Misconfigured: `DATABASE_URL` is not set.
        """
        return _required(self.database_url, "DATABASE_URL")

    def require_owner_url(self) -> str:
        """The owner's database URL, or the worker's where no other is set.

        Raises:
            Misconfigured: neither `DATABASE_OWNER_URL` nor `DATABASE_URL` is set.
        """
        return _required(self.database_owner_url or self.database_url, "DATABASE_OWNER_URL")

    @property
    def owner_variable(self) -> str:
        """The variable out of which `require_owner_url` comes."""
        return "DATABASE_OWNER_URL" if self.database_owner_url else "DATABASE_URL"

    def require_directory_url(self) -> str:
        """The URL of the application's database.

        Raises:
            Misconfigured: `DIRECTORY_URL` is not set.
        """
        if self.directory_url is None or not self.directory_url.get_secret_value():
            raise Misconfigured("DIRECTORY_URL is not set: name the application's database, or use `tollbook directory import`")
        return self.directory_url.get_secret_value()

    def require_broker_url(self) -> str:
        """The broker's URL.

        Raises:
            Misconfigured: `CELERY_BROKER_URL` is not set.
        """
        return _required(self.broker_url, "CELERY_BROKER_URL")


def _required(url: SecretStr | None, name: str) -> str:
    if url is None or not url.get_secret_value():
        raise Misconfigured(f"{name} is not set: export it, or run `tollbook services up` and `eval $(tollbook services env)`")
    return url.get_secret_value()


@lru_cache(maxsize=1)
def configuration() -> Configuration:
    """The process's configuration, read at the first call and the same ever after.

    Raises:
        Misconfigured: a variable has a value that can't be used; the message names it.
    """
    try:
        return Configuration()
    except ValidationError as error:
        told = [f"{variable_name(one.field.partition('.')[0])}: {one.reason} (got {one.value!r})" for one in problems_in(error)]
        raise Misconfigured("; ".join(told)) from None


def unread_variables(environment: Mapping[str, str | None] | None = None) -> list[str]:
    """What is set as if it were a variable of this program, but is none: one line each, with the name that may be meant.

    Args:
        environment: by default that of this process, and the `.env` file.
    """
    known = [variable_name(name) for name in Configuration.model_fields if not Configuration.model_fields[name].validation_alias]
    found = environment if environment is not None else _environment()
    lines = []
    for name in sorted(found):
        if not name.startswith(_PREFIX) or name in known or name.startswith(_OF_TESTS) or _of_kubernetes(name, found[name] or ""):
            continue
        near = get_close_matches(name, known, n=1, cutoff=0.8)
        lines.append(f"{name} is not a variable that this program reads" + (f": is {near[0]} meant?" if near else ""))
    return lines


def _environment() -> dict[str, str | None]:
    in_file = {name.upper(): value for name, value in DotEnvSettingsSource(Configuration).env_vars.items()}
    return {**in_file, **os.environ}


def _of_kubernetes(name: str, value: str) -> bool:
    return bool(_OF_KUBERNETES.fullmatch(name) or (name.endswith("_PORT") and _KUBERNETES_ADDRESS.match(value)))


def variable_name(field: str) -> str:
    """The environment variable of a field, as people set it."""
    return field if field.isupper() else f"TOLLBOOK_{field.upper()}"
