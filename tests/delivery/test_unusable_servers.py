"""URLs and servers that can never work end every process at once: exit code 78, and one line with variable and cure."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lab.postgres import OWNER, SUPERUSER, WORKER, PostgresServer
from lab.process import free_port, temporary_dir
from lab.valkey import ValkeyServer
from tests.delivery.conftest import ROOT, StartWorker, eventually

PROCESSES = {
    "worker": ["-m", "celery", "-A", "worker.app", "worker"],
    "beat": ["-m", "celery", "-A", "worker.app", "beat", "--scheduler=celery.beat:Scheduler"],
    "flower": ["-m", "celery", "-A", "worker.app", "flower", "--port=0", "--address=127.0.0.1"],
    "publish": ["-m", "cli.main", "publish", "-"],
    "intake adopt": ["-m", "cli.main", "intake", "adopt", "prod:usage"],
    "intake migrate": ["-m", "cli.main", "intake", "migrate", "usage"],
    "status": ["-m", "cli.main", "status"],
    "db check": ["-m", "cli.main", "db", "check"],
    "balance": ["-m", "cli.main", "balance", "acme"],
}
EVERYWHERE = {"DATABASE_URL": "postgresql://u:hunter2@h/d?sslmode=required", "CELERY_BROKER_URL": "redis://default:hun/ter2@h:6379/0"}


def ended(process: str, **environment: str) -> tuple[int, list[str]]:
    """The exit code and the lines on standard error of a process that can't start."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TOLLBOOK_", "CELERY_", "REDIS_", "DATABASE_"))}
    given = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(
        [sys.executable, *PROCESSES[process]], cwd=ROOT, env=clean | given, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert not any(part in done.stdout + done.stderr for part in ("hunter2", "hun/", "/ter2", "Traceback"))
    return done.returncode, done.stderr.strip().splitlines()


def refused(process: str, **environment: str) -> str:
    """The one line of a process that refuses its environment."""
    code, lines = ended(process, **environment)
    assert code == os.EX_CONFIG
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("process", [name for name in PROCESSES if name != "status"])
@pytest.mark.parametrize("variable", ["DATABASE_URL", "DATABASE_OWNER_URL", "DIRECTORY_URL", "CELERY_BROKER_URL"])
def test_every_process_refuses_every_url_by_name(process: str, variable: str) -> None:
    """Whether or not it would have used that URL: what is set is right, or nothing starts. Commands that use no broker don't look at its URL."""
    url = EVERYWHERE["CELERY_BROKER_URL" if variable == "CELERY_BROKER_URL" else "DATABASE_URL"]
    if variable == "CELERY_BROKER_URL" and process in ("db check", "balance"):
        assert variable not in ended(process, **{variable: url})[1][0]
        return
    assert variable in refused(process, **{variable: url})


def test_status_tells_of_an_unusable_broker_in_its_place() -> None:
    """What else there is is shown; of the password nothing, whatever reads the URL."""
    code, _ = ended("status", CELERY_BROKER_URL=EVERYWHERE["CELERY_BROKER_URL"])
    assert code == 1


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def odd_database(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[str]:
    """The name of an empty database in another encoding."""
    name = f"odd_{os.getpid()}_{request.param.lower()}"
    with psycopg.connect(postgres.url(SUPERUSER, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER} ENCODING '{request.param}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
        yield name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_in_another_encoding_is_refused(
    odd_database: str, postgres: PostgresServer, start_worker: StartWorker, environment: dict[str, str]
) -> None:
    """By the worker, and by `tollbook db upgrade` and `check`: a name that has no place in it could not be kept."""
    urls = {"DATABASE_URL": postgres.url(WORKER, odd_database), "DATABASE_OWNER_URL": postgres.url(OWNER, odd_database)}
    worker = start_worker(**urls)
    assert worker.process.wait(60) == os.EX_CONFIG
    assert f"DATABASE_URL: the database {odd_database} is encoded in" in worker.output().strip().splitlines()[-1]
    for command in (["check"], ["upgrade"]):
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "db", *command], cwd=ROOT, env=environment | urls, capture_output=True, text=True, check=False
        )
        assert done.returncode == 78
        assert done.stderr.startswith(f"error: DATABASE_OWNER_URL: the database {odd_database} is encoded in")
        assert "needs UTF8" in done.stderr or "need UTF8" in done.stderr


@pytest.fixture
def cluster() -> Iterator[ValkeyServer]:
    """A node of a cluster, which has all of its slots."""
    with temporary_dir() as folder:
        bus = str(free_port())  # else 10,000 above the port, where a client's own connection may be
        server = ValkeyServer(folder / "valkey", appendfsync="no", extra=("--cluster-enabled", "yes", "--cluster-port", bus))
        server.start()
        yield server
        server.stop()


def test_a_redis_cluster_ends_every_process_that_needs_a_broker(cluster: ValkeyServer, start_worker: StartWorker) -> None:
    """No transaction reaches the queues of several nodes: exit code 78 in place of CROSSSLOT for ever."""
    for process in ("beat", "flower", "publish"):
        assert "CELERY_BROKER_URL names a Redis Cluster" in ended(process, CELERY_BROKER_URL=cluster.url())[1][-1]
    worker = start_worker(CELERY_BROKER_URL=cluster.url())
    assert worker.process.wait(60) == os.EX_CONFIG
    assert "CELERY_BROKER_URL names a Redis Cluster" in worker.output().strip().splitlines()[-1]


def test_a_worker_works_through_a_socket(start_worker: StartWorker, tmp_path: Path) -> None:
    """`redis+socket://` with a database's number is the same for both of its halves."""
    with temporary_dir() as folder:
        socket = folder / "valkey" / "data" / "broker.sock"
        server = ValkeyServer(folder / "valkey", appendfsync="no", extra=("--unixsocket", str(socket), "--unixsocketperm", "777"))
        server.start()
        socket.parent.chmod(0o711)
        password = server.url().split(":")[2].split("@")[0]
        url = f"redis+socket://default:{password}@{socket}?virtual_host=3"
        worker = start_worker(CELERY_BROKER_URL=url).ready()
        import redis

        with redis.Redis.from_url(server.url(3)) as client:
            client.lpush("usage.json", "{}")
            eventually(lambda: client.llen("usage.json") == 0, "the pump reads there")
            client.lpush("checks", "no message")
            eventually(lambda: client.llen("checks") == 0, "Celery's consumer, too")
        assert worker.terminate() == 0
        server.stop()
