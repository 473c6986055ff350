"""Whose broker and books: what is another installation's is refused at the start, by a line that names both, until an operator adopts it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest

from lab.postgres import PostgresServer
from lab.proxy import Proxy
from tests.books.threads import at_once
from tests.conftest import TEMPLATE, DatabaseUrls, Rows, own_database
from tests.delivery.brokers import Broker
from tests.delivery.conftest import ROOT, StartWorker, both_brokers, eventually
from tests.sample_events import event
from tests.schema.logins import execute
from worker.installation import claim, read, take

REFUSED = 78


@pytest.fixture
def other(postgres: PostgresServer) -> Iterator[DatabaseUrls]:
    """The database of another installation."""
    with own_database(postgres, TEMPLATE) as urls:
        yield urls


def _run(environment: dict[str, str], *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    variables = {**environment, **changes}
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=variables, text=True, capture_output=True, check=False, timeout=60)


def _refusal(start_worker: StartWorker, name: str, **changes: str) -> str:
    worker = start_worker(name=name, **changes)
    assert worker.process.wait(60) == REFUSED, worker.output()
    (line,) = (line for line in worker.output().splitlines() if line.startswith("tollbook: "))
    return line


@both_brokers
def test_a_worker_of_another_installation_is_refused(
    broker: Broker, environment: dict[str, str], start_worker: StartWorker, other: DatabaseUrls, rows: Rows
) -> None:
    """Another database, or another name, on a broker that has its installation: exit code 78, and nothing is taken over."""
    start_worker(name="production").ready()
    ours = read(broker.url)
    (row,) = rows("SELECT name || '/' || system_identifier || '/' || database_oid AS identity FROM installation")
    assert row["identity"] == ours
    line = _refusal(start_worker, "staging", DATABASE_URL=other.worker, TOLLBOOK_INSTALLATION="staging")
    assert str(ours) in line
    assert "staging/" in line
    line = _refusal(start_worker, "renamed", TOLLBOOK_INSTALLATION="renamed")
    assert str(ours) in line
    assert "renamed/" in line
    beat = _run(environment, "celery", "-A", "worker.app", "beat", TOLLBOOK_INSTALLATION="staging")
    assert beat.returncode == REFUSED
    assert str(ours) in beat.stderr
    start_worker(name="second").ready()
    assert read(broker.url) == ours


@both_brokers
def test_restored_books_are_refused_until_they_are_adopted(
    broker: Broker, environment: dict[str, str], start_worker: StartWorker, database_urls: DatabaseUrls
) -> None:
    """The books say where they were; `tollbook db adopt` makes them, and their broker, those of the place where they are."""
    worker = start_worker(name="before")
    worker.ready()
    worker.kill()
    execute(database_urls.owner, "UPDATE installation SET database_oid = 1")
    before = str(read(broker.url)).rpartition("/")[0] + "/1"
    take(broker.url, before)  # as if both had been at the old place
    assert before in _refusal(start_worker, "restored")
    adopted = _run({**environment, "DATABASE_OWNER_URL": database_urls.owner}, "cli.main", "db", "adopt")
    assert adopted.returncode == 0, adopted.stderr
    assert adopted.stdout.count(f"{before} ->") == 2
    start_worker(name="after").ready()


@both_brokers
def test_nobody_adopts_a_broker_by_the_way(broker: Broker, environment: dict[str, str], start_worker: StartWorker, other: DatabaseUrls) -> None:
    """A broker that the books never had is taken over by a word of its own, and then its workers are refused."""
    start_worker(name="production").ready()
    staging = {**environment, "DATABASE_URL": other.worker, "DATABASE_OWNER_URL": other.owner}
    refused = _run(staging, "cli.main", "db", "adopt")
    assert refused.returncode == 78
    assert str(read(broker.url)) in refused.stderr
    assert execute(other.owner, "SELECT name FROM installation") == [(None,)]
    assert _run(staging, "cli.main", "db", "adopt", "--take-broker").returncode == 0
    _refusal(start_worker, "late")


@both_brokers
def test_of_two_who_come_at_once_one_has_the_broker(broker: Broker) -> None:
    """Whoever is second is told who was first, however close."""
    names = [f"one/{n}/1" for n in range(8)]
    holders = set(at_once(*[partial(claim, broker.url, name) for name in names]))
    assert len(holders) == 1
    assert holders == {read(broker.url)}
    assert holders <= set(names)


@pytest.mark.usefixtures("acme")
@both_brokers
def test_a_worker_that_reached_nothing_at_its_start_looks_before_it_records(
    broker: Broker, start_worker: StartWorker, other: DatabaseUrls, rows: Rows
) -> None:
    """Its books were away: once they are there it ends with exit code 78, and the events are in the queue for whose they are."""
    production = start_worker(name="production").ready()
    production.terminate()
    with Proxy(other.worker) as proxy:
        proxy.refuse()
        staging = start_worker(name="staging", DATABASE_URL=proxy.url(other.worker), TOLLBOOK_INSTALLATION="staging").ready()
        broker.put("usage.json", json.dumps(event()).encode())
        proxy.refuse(False)
        assert staging.process.wait(60) == REFUSED, staging.output()
    assert "staging/" in staging.output()
    assert execute(other.owner, "SELECT count(*) FROM batches") == [(0,)]
    start_worker(name="again")
    eventually(broker.is_drained, "production records it")
    assert rows("SELECT count(*) AS n FROM event_keys") == [{"n": 1}]
