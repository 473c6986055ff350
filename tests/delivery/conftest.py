"""Real brokers, real worker processes: started, watched and killed by tests."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis
from celery import Celery
from kombu import pools

from core.database.database import Database
from core.directory.sql.mirror import Mandate, Membership, put_mandates, put_memberships
from lab.process import temporary_dir
from lab.rabbitmq import INSTALL, RabbitServer, is_installed
from lab.valkey import ValkeyServer
from tests.conftest import DatabaseUrls, Rows
from tests.delivery.brokers import Broker, RabbitBroker, RedisBroker

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
both_brokers = pytest.mark.parametrize("broker_kind", ["redis", "rabbitmq"])


def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of `condition`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)
    return value


class Program:
    """A Python module that runs as a process of its own, and what it wrote."""

    def __init__(self, log: Path, environment: dict[str, str], *command: str, folder: Path = ROOT) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def output(self) -> str:
        """Everything it wrote so far."""
        return self.log.read_text(errors="replace")

    def says(self, line: str) -> bool:
        """Whether it wrote this; fails if it ended without."""
        if line in self.output():
            return True
        assert self.process.poll() is None, f"the process ended with {self.process.returncode}:\n{self.output()[-3000:]}"
        return False

    def kill(self) -> None:
        """SIGKILL: no chance to say goodbye."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


class WorkerProcess(Program):
    """A real `celery worker`."""

    def __init__(self, name: str, log: Path, environment: dict[str, str], arguments: tuple[str, ...], app: str) -> None:
        self.name = name
        super().__init__(log, environment, "celery", "-A", app, "worker", "-n", f"{name}@test", "--without-mingle", "--without-gossip", *arguments)

    def peak_mib(self) -> float:
        """The most memory that the process has ever held, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))

    def ready(self) -> "WorkerProcess":
        """Returns once it serves its queues."""
        eventually(lambda: self.says("test ready."), "the worker is ready")
        return self


class StartWorker(Protocol):
    """What the fixture `start_worker` gives."""

    def __call__(self, *arguments: str, name: str = "w", app: str = "worker.app", **environment: str) -> WorkerProcess:
        """Starts a worker on the test's database and broker; it is killed after the test at the latest."""


@pytest.fixture(autouse=True)
def own_connections() -> Iterator[None]:
    """Each test's clients connect for themselves: kombu keeps connections per URL for the whole process, with what they have declared.

    RabbitMQ hangs up on those that nobody uses for three minutes, since nobody sends its heartbeats.
    """
    yield
    pools.reset()


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[ValkeyServer]:
    """A Valkey server for the tests that don't harm it."""
    with temporary_dir() as folder:
        server = ValkeyServer(folder / "valkey", appendfsync="no")
        server.start()
        yield server
        server.stop()


def require_rabbitmq() -> None:
    """Skips the test, or fails it where RabbitMQ must be there, if it is not installed."""
    if not is_installed():
        if os.environ.get("TOLLBOOK_TEST_RABBITMQ") == "required":
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)


@pytest.fixture(scope="session")
def shared_rabbit() -> Iterator[RabbitServer]:
    """A RabbitMQ node for the tests that don't harm it."""
    require_rabbitmq()
    with temporary_dir() as folder:
        server = RabbitServer(folder / "rabbitmq")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def broker_kind() -> str:
    """The kind of the test's broker; `both_brokers` gives each in turn."""
    return "redis"


@pytest.fixture
def broker(broker_kind: str, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """The test's broker, empty."""
    if broker_kind == "rabbitmq":
        rabbit = RabbitBroker(request.getfixturevalue("shared_rabbit"))
        rabbit.declare()
        yield rabbit
        return
    url = request.getfixturevalue("shared_valkey").url()
    with redis.Redis.from_url(url) as client:
        client.flushall()
    valkey = RedisBroker(url)
    yield valkey
    valkey.close()


@pytest.fixture
def rabbit(broker: Broker) -> RabbitBroker:
    """The test's broker, where that is RabbitMQ."""
    assert isinstance(broker, RabbitBroker)
    return broker


@pytest.fixture
def broker_url(broker: Broker) -> str:
    """The URL of an empty broker."""
    return broker.url


@pytest.fixture
def queue(broker_url: str) -> Iterator[redis.Redis]:
    """A client of the test's broker, where that is Redis."""
    with redis.Redis.from_url(broker_url) as client:
        yield client


@pytest.fixture
def producer(broker_url: str) -> Iterator[Celery]:
    """A stock Celery producer that has never heard of this project; for RabbitMQ with the one setting that it needs there."""
    with Celery("producer", broker=broker_url, set_as_current=False) as app:
        if broker_url.startswith("amqp"):
            app.conf.task_create_missing_queue_type = "quorum"
        yield app


@pytest.fixture
def environment(database_urls: DatabaseUrls, broker_url: str) -> dict[str, str]:
    """The environment of a worker, and nothing of the test run's own configuration."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TOLLBOOK_", "CELERY_", "REDIS_", "DATABASE_"))}
    return own | {
        "DATABASE_URL": database_urls.worker,
        "DATABASE_OWNER_URL": database_urls.owner,
        "CELERY_BROKER_URL": broker_url,
        "TOLLBOOK_LOG_FORMAT": "json",
        "TOLLBOOK_INTAKE_VISIBILITY_SECONDS": "2",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    """Starts real workers; what they wrote is shown with a test that fails."""
    started: list[WorkerProcess] = []

    def start(*arguments: str, name: str = "w", app: str = "worker.app", **more: str) -> WorkerProcess:
        log = tmp_path / f"{name}-{len(started)}.log"
        started.append(WorkerProcess(name, log, environment | more, arguments, app))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()
        print(f"--- {worker.name}, ended with {worker.process.returncode}:\n{worker.output()[-10_000:]}")  # noqa: T201 - pytest shows it with a failure


@pytest.fixture
def acme(owner_database: Database) -> None:
    """The directory knows the mandate `acme` with the members `ada` and `bob`."""
    with owner_database.transaction() as connection:
        put_mandates(connection, [Mandate("acme", "Acme", None, enabled=True, time_zone="Europe/Zurich")])
        put_memberships(connection, [Membership(user, "acme", enabled=True) for user in ("ada", "bob")])


@pytest.fixture
def counts(rows: Rows) -> Callable[[], dict[str, int]]:
    """Reads how many events had each outcome so far, over all batches."""

    def read() -> dict[str, int]:
        (row,) = rows("SELECT sum(recorded) r, sum(duplicate) d, sum(conflict) c, sum(rejected) x, sum(parked) p FROM batches")
        return {name: int(row[key] or 0) for key, name in zip("rdcxp", ("recorded", "duplicate", "conflict", "rejected", "parked"), strict=True)}

    return read


@pytest.fixture
def is_drained(broker: Broker) -> Callable[[], bool]:
    """Tells whether no message waits in a queue or is held in a claim."""
    return broker.is_drained
