"""The way from the release before: its books, its queued messages and its workers, and a dump of what it made.

The release before is taken out of the project's own history.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
import redis
from psycopg.rows import tuple_row

from lab.postgres import DATABASE, OWNER, SUPERUSER, WORKER, PostgresServer
from lab.process import reachable_dir, temporary_dir
from tests.delivery.conftest import ROOT, Program, eventually
from tests.sample_events import event
from tests.schema.logins import programs

BEFORE = "957173d"  # what workers run that have not been upgraded
PRICE = Decimal("0.001")
TOLD = {"usage_dialect": "openai.chat", "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
DIRECTORY = {
    "mandates.csv": "id,name,label,enabled,time_zone\nacme,Acme,,true,CET\npool,Pool,,true,Europe/Zurich\nlate,Late,,true,\n",
    "memberships.csv": "user_id,mandate_id,enabled\nada,acme,true\nbob,acme,true\nada,pool,true\nada,late,true\n",
}


@pytest.fixture(scope="module")
def before() -> Iterator[Path]:
    """The release before, in a folder of its own."""
    archive = subprocess.run(
        ["git", "archive", BEFORE, "core", "tasks", "worker", "cli", "lab", "celeryconfig.py"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"the project's history is not here: {archive.stderr.decode().strip()}")
    with temporary_dir("tollbook-before-") as folder, tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
        yield folder


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A cluster of its own: roles are the cluster's."""
    folder = reachable_dir("tollbook-upgrade-")
    server = PostgresServer(folder / "postgres", fast=True)
    server.start()
    yield server
    server.stop("immediate")


class Release:
    """One release's programs on the same books and broker."""

    def __init__(self, folder: Path, server: PostgresServer, broker_url: str, logs: Path) -> None:
        self.folder, self.logs = folder, logs
        own = {name: value for name, value in os.environ.items() if not name.startswith(("TOLLBOOK_", "CELERY_", "REDIS_", "DATABASE_"))}
        self.environment = own | {
            "DATABASE_URL": server.url(WORKER),
            "DATABASE_OWNER_URL": server.url(OWNER),
            "CELERY_BROKER_URL": broker_url,
            "TOLLBOOK_INTAKE_VISIBILITY_SECONDS": "2",
            "TOLLBOOK_INTAKE_BATCH_MESSAGES": "20",
            "PYTHONPATH": str(folder),
        }

    def run(self, *command: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *command], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def worker(self, name: str) -> Program:
        """A worker that serves its queues."""
        command = ("celery", "-A", "worker.app", "worker", "-n", f"{name}@test", "--without-mingle", "--without-gossip")
        worker = Program(self.logs / f"{name}.log", self.environment, *command, folder=self.folder)
        eventually(lambda: worker.says("test ready."), f"{name} is ready")
        return worker


def usage(name: str, number: int, mandate_id: str = "acme", user_id: str = "ada") -> dict[str, Any]:
    """One event of a batch of this name."""
    return event(event_id=f"{name}-{number}", mandate_id=mandate_id, user_id=user_id, price_chf=str(PRICE))


def authorised(release: Release) -> list[dict[str, Any]]:
    """The events of three calls of ada's, for each of which a centime is held."""
    for n in range(3):
        answer = release.run("hold", "authorise", "acme", "ada", "--key", f"call-{n}", "--amount", "0.01", "--json")
        assert json.loads(answer)["allowed"]
    return [usage("held", n) | {"hold_key": f"call-{n}"} for n in range(3)]


def send(queue: redis.Redis, events: list[dict[str, Any]]) -> None:
    """Puts them into the queue of plain JSON."""
    queue.lpush("usage.json", *map(json.dumps, events))


def one_row(server: PostgresServer, sql: str) -> tuple[Any, ...]:
    """What the query gives as a superuser."""
    with psycopg.connect(server.url(SUPERUSER, DATABASE), row_factory=tuple_row) as connection:
        row = connection.execute(sql).fetchone()
    assert row is not None
    return row


@pytest.fixture
def old_books(before: Path, server: PostgresServer, broker_url: str, tmp_path: Path, queue: redis.Redis) -> tuple[Release, list[dict[str, Any]]]:
    """Books of the release before, with usage, a payment, a refund, a switch, something parked and something refused."""
    old = Release(before, server, broker_url, tmp_path)
    old.run("db", "upgrade")
    for name, text in DIRECTORY.items():
        (tmp_path / name).write_text(text)
    old.run("directory", "import", "--mandates", str(tmp_path / "mandates.csv"), "--memberships", str(tmp_path / "memberships.csv"))
    old.run("settings", "create", "pool", "--billing-model", "PREPAY_MANDATE")
    events = [usage("first", n, ("acme", "pool")[n % 2], "ada") for n in range(100)]
    parked, garbage = [usage("parked", n, "stranger") for n in range(5)], [usage("bad", 0) | {"price_chf": "-1"}, usage("told", 0) | TOLD]
    worker = old.worker("old-first")
    send(queue, events + events[:20] + parked + garbage)
    eventually(lambda: one_row(server, "SELECT coalesce(sum(recorded + duplicate + parked + rejected), 0) FROM batches") == (127,), "settled")
    old.run("topup", "pool", "5", "--key", "invoice")
    old.run("refund", "pool", str(one_row(server, "SELECT id FROM transactions WHERE event_id = 'first-1'")[0]), "--key", "refund")
    old.run("rollup", "run")
    assert worker.terminate() == 0
    return old, events


def test_new_workers_beside_old_ones_take_over_what_is_there(
    old_books: tuple[Release, list[dict[str, Any]]], server: PostgresServer, broker_url: str, tmp_path: Path, queue: redis.Redis
) -> None:
    """An upgrade under a running old worker, copies and contradictions of old events, kills of either: each event once, its key as it was, all
    invariants hold, roles can be renamed. Old workers go on recording beside new ones, under holds, too.
    """
    old, events = old_books
    keys = "SELECT array_agg((event_id, payload_hash, hash_version)::text ORDER BY event_id) FROM event_keys WHERE event_id LIKE 'first-%'"
    keys_before = one_row(server, keys)
    new = Release(ROOT, server, broker_url, tmp_path)
    workers = [old.worker("old-1"), old.worker("old-2")]
    queued = [usage("queued", n, ("acme", "pool", "late")[n % 3], ("ada", "bob")[n % 2]) for n in range(150)]
    send(queue, queued)
    new.run("db", "upgrade")
    held = authorised(new)
    (upgraded_at,) = one_row(server, "SELECT clock_timestamp()")
    workers += [new.worker("new-1"), new.worker("new-2")]
    later = [usage("later", n, ("acme", "pool", "late")[n % 3]) for n in range(600)]
    changed = [one | {"price_chf": "7"} for one in events[:40]]
    copies = events + queued + later + changed
    Random(7).shuffle(copies)
    send(queue, later + copies)
    eventually(lambda: one_row(server, "SELECT count(*) > 350 FROM event_keys") == (True,), "they are at it")
    for worker in (workers[0], workers[2]):
        worker.kill()
    send(queue, held)
    assert workers[1].terminate() == 0
    drained = lambda: not queue.llen("usage.json") and not queue.zcard("tollbook.claims")  # noqa: E731 - one line says it all
    eventually(drained, "every message is acknowledged", 120)
    assert workers[3].terminate() == 0
    assert one_row(server, "SELECT count(*), sum(captured), sum(released) FROM holds WHERE state = 'CAPTURED' AND use_count = 1") == (
        3, 3 * PRICE, 3 * (Decimal("0.01") - PRICE),
    )  # fmt: skip
    unique = len(events) + len(queued) + len(later) + len(held) + 1
    counted = "SELECT count(*), count(DISTINCT (mandate_id, event_id)), sum(amount) FROM transactions WHERE reference_type = 'WORKFLOW'"
    assert one_row(server, counted) == (unique, unique, unique * PRICE)
    assert one_row(server, "SELECT count(*), count(*) FILTER (WHERE reason = 'conflict') FROM dead_letters") == (1 + len(changed), len(changed))
    assert one_row(server, keys) == keys_before
    versions = f"""
        SELECT array_agg(DISTINCT substring(b.worker FROM '^(old|new)-')) FROM batches b
          JOIN transactions t ON t.batch_id = b.id WHERE t.recorded_at > '{upgraded_at}' AND b.worker ~ '^(old|new)-'
    """
    assert one_row(server, versions) == (["new", "old"],)
    new.run("rollup", "run")
    assert "verify: ok" in new.run("verify")
    assert new.run("db", "check").startswith("ok")
    new.run("db", "upgrade", "--rename-roles")
    assert new.run("db", "check").startswith("ok")
    assert json.loads(new.run("topup", "pool", "5", "--key", "invoice", "--json"))["repeated"] is True


def test_a_dump_of_the_release_before_is_restored_and_upgraded(
    old_books: tuple[Release, list[dict[str, Any]]],
    server: PostgresServer,
    broker_url: str,
    tmp_path: Path,
    queue: redis.Redis,
    dump: Callable[..., None],
) -> None:
    """Into a new cluster, without the roles: an upgrade makes them, an operator adopts the books, and a copy of an old event is a duplicate."""
    _, events = old_books
    folder = reachable_dir("tollbook-restored-")
    restored = PostgresServer(folder / "postgres", fast=True)
    restored.start()
    try:
        dump(server, restored, tmp_path / "books.dump")
        new = Release(ROOT, restored, broker_url, tmp_path)
        new.run("db", "upgrade")
        new.run("db", "adopt")
        assert new.run("db", "check").startswith("ok")
        worker = new.worker("new")
        send(queue, [events[0], usage("new", 1)])
        settled = "SELECT sum(recorded), sum(duplicate) FROM batches"
        eventually(lambda: one_row(restored, settled) == (102, 21), "the copy and the new one are settled")
        assert worker.terminate() == 0
        new.run("rollup", "run")
        assert "verify: ok" in new.run("verify")
    finally:
        restored.stop("immediate")


@pytest.fixture
def dump() -> Callable[[PostgresServer, PostgresServer, Path], None]:
    """Dumps the books of one server and restores them into another, as an operator does who knows of no roles."""

    def copy(source: PostgresServer, target: PostgresServer, file: Path) -> None:
        restore: list[str | Path] = [programs() / "pg_restore", "--no-acl", "-d", target.url(SUPERUSER, DATABASE), file]
        subprocess.run([programs() / "pg_dump", "-Fc", "-f", file, source.url(SUPERUSER, DATABASE)], check=True, capture_output=True)
        subprocess.run(restore, check=True, capture_output=True)

    return copy
