"""What passes is waited out, and an unreachable database is a state: of workers that were let in once, and of those that start."""

import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from core.schema import migrate
from lab.postgres import OWNER, SUPERUSER, WORKER, PostgresServer
from lab.process import free_port, temporary_dir
from tests.conftest import DatabaseUrls
from tests.delivery.brokers import Broker
from tests.delivery.conftest import StartWorker, WorkerProcess, eventually
from tests.delivery.test_faults import message
from tests.sample_events import event

WAITS = '"state": "waiting_for_database"'


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server with books, whose logins the test may change."""
    with temporary_dir() as folder:
        server = PostgresServer(folder / "postgres", fast=True)
        server.start()
        migrate.upgrade(server.url(OWNER), server.url(WORKER))
        yield server
        server.stop()


def administer(server: PostgresServer, *statements: str) -> None:
    """Runs SQL as the superuser, and then ends the worker's sessions."""
    with psycopg.connect(server.url(SUPERUSER, "postgres"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [WORKER])


def password_of(url: str) -> str:
    """The password in a URL."""
    return urlsplit(url).password or ""


CHANGES: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "password rotated": (lambda _: f"ALTER ROLE {WORKER} PASSWORD 'new'", lambda old: f"ALTER ROLE {WORKER} PASSWORD '{old}'"),
    "login barred": (lambda _: f"ALTER ROLE {WORKER} NOLOGIN", lambda _: f"ALTER ROLE {WORKER} LOGIN"),
    "database renamed": (lambda _: "ALTER DATABASE tollbook RENAME TO away", lambda _: "ALTER DATABASE away RENAME TO tollbook"),
    "no connections": (lambda _: f"ALTER ROLE {WORKER} CONNECTION LIMIT 0", lambda _: f"ALTER ROLE {WORKER} CONNECTION LIMIT -1"),
}


def test_a_login_that_is_refused_for_a_while_is_waited_for(own_server: PostgresServer, broker: Broker, start_worker: StartWorker) -> None:
    """28P01, 28000, 3D000 and 53300 after a first success: nothing is taken, nothing is lost, and the same worker goes on."""
    old = password_of(own_server.url(WORKER))
    worker = start_worker(DATABASE_URL=own_server.url(WORKER), TOLLBOOK_UNKNOWN_MANDATES="create").ready()
    for n, (change, change_back) in enumerate(CHANGES.values(), 1):
        broker.put("usage", message(event()))
        eventually(broker.is_drained, "it records")
        if "RENAME" in change(old):  # nobody may be in it
            administer(own_server, f"ALTER ROLE {WORKER} NOLOGIN")
            administer(own_server, change(old), f"ALTER ROLE {WORKER} LOGIN")
        else:
            administer(own_server, change(old))
        seen = worker.output().count(WAITS)
        broker.put("usage", *(message(event()) for _ in range(5)))
        eventually(lambda: worker.output().count(WAITS) > seen, "it waits")  # noqa: B023 - used at once
        assert worker.process.poll() is None
        administer(own_server, change_back(old))
        eventually(broker.is_drained, "it goes on by itself")
        assert recorded(own_server) == n * 6
    assert worker.terminate() == 0


def recorded(server: PostgresServer) -> int:
    """How many events are in the books."""
    with psycopg.connect(server.url(OWNER)) as connection:
        row = connection.execute("SELECT count(*) FROM transactions WHERE transaction_type = 'DEBIT'").fetchone()
        assert row is not None
        return int(row[0])


def test_a_lost_right_still_ends_a_worker(own_server: PostgresServer, broker: Broker, start_worker: StartWorker) -> None:
    """42501 is an operator's matter at any time: exit code 78, and the message stays."""
    worker = start_worker(DATABASE_URL=own_server.url(WORKER), TOLLBOOK_UNKNOWN_MANDATES="create").ready()
    administer(own_server, f"REVOKE tollbook_worker FROM {WORKER} GRANTED BY {OWNER}")
    broker.put("usage", message(event()))
    assert worker.process.wait(60) == os.EX_CONFIG
    assert broker.waiting("usage") == 1


@pytest.mark.parametrize("kind", ["password", "database", "login"])
def test_a_login_that_is_refused_at_the_start_ends_a_worker(kind: str, database_urls: DatabaseUrls, start_worker: StartWorker) -> None:
    """Exit code 78 and one line with the variable: nothing tells that it was ever right."""
    url = database_urls.worker
    wrong = {"password": url.replace(password_of(url), "hunter2"), "database": url + "x", "login": url.replace(WORKER, "nobody")}[kind]
    worker = start_worker(DATABASE_URL=wrong)
    assert worker.process.wait(60) == os.EX_CONFIG
    last = worker.output().strip().splitlines()[-1]
    assert last.startswith("tollbook: the database refuses the login")
    assert last.endswith("check DATABASE_URL")
    assert "hunter2" not in worker.output()


def inspected(worker: WorkerProcess, broker: Broker) -> list[str]:
    """The states of the pumps, as `inspect intake` has them."""
    from celery import Celery

    with Celery("asking", broker=broker.url, set_as_current=False) as app:
        answers: Any = app.control.inspect(timeout=2, destination=[f"{worker.name}@test"])._request("intake")
        return [state for answer in (answers or {}).values() for state in answer["state"]]


@pytest.mark.parametrize("host", ["127.0.0.1", "host.invalid"])
def test_an_unreachable_database_is_a_state(host: str, broker: Broker, start_worker: StartWorker, database_urls: DatabaseUrls) -> None:
    """With nothing to do, too, a worker says that it waits, to its log and to whoever asks, and takes nothing."""
    worker = start_worker(DATABASE_URL=f"postgresql://u:p@{host}:{free_port()}/d").ready()
    eventually(lambda: worker.output().count(WAITS) >= 1, "it says so")
    eventually(lambda: inspected(worker, broker) == ["waiting_for_database"] * 2, "it tells whoever asks")
    broker.put("usage", message(event()))
    eventually(lambda: inspected(worker, broker) == ["waiting_for_database"] * 2, "it tells whoever asks")
    assert broker.waiting("usage") == 1
    assert worker.terminate() == 0


def test_an_idle_worker_notices_that_the_database_went_and_came(own_server: PostgresServer, broker: Broker, start_worker: StartWorker) -> None:
    """No message is needed for either."""
    worker = start_worker(DATABASE_URL=own_server.url(WORKER)).ready()
    eventually(lambda: inspected(worker, broker) == ["idle"] * 2, "it is idle")
    own_server.stop()
    eventually(lambda: inspected(worker, broker) == ["waiting_for_database"] * 2, "it waits")
    own_server.start()
    eventually(lambda: inspected(worker, broker) == ["idle"] * 2, "it is idle again")
    assert worker.terminate() == 0
