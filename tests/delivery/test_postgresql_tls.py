"""TLS to PostgreSQL, as `sslmode` in a database URL asks for it: the server is the distribution's, for the wheel's has no TLS."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from core.config import Configuration
from core.database.database import Database
from core.errors import Misconfigured
from core.schema import migrate, revision
from lab.postgres import INSTALL, OWNER, SUPERUSER, WORKER, PostgresServer, distribution_programs
from lab.process import server_account, temporary_dir
from tests.certificates import HOST, Authority
from tests.delivery.brokers import Broker
from tests.delivery.conftest import PATIENCE_SECONDS, StartWorker, eventually
from tests.sample_events import event

IP = "127.0.0.1"  # for which no certificate is made


@dataclass(frozen=True)
class Place:
    """A server that can speak TLS, its authority and another one."""

    server: PostgresServer
    ours: Path
    stranger: Path

    def url(self, user: str, host: str, options: str) -> str:
        """The URL of a login, by a name of the server; `ours` and `stranger` in the options stand for the authorities' files."""
        options = options.replace("=ours", f"={self.ours}").replace("=stranger", f"={self.stranger}")
        return f"{self.server.url(user).replace(IP, host)}?{options}"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A server of the distribution, with a certificate for `localhost`."""
    programs = distribution_programs()
    if programs is None:
        if os.environ.get("TOLLBOOK_TEST_POSTGRESQL") == "required":
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    with temporary_dir() as folder:
        ours, stranger = (Authority(folder, name, server_account()) for name in ("ours", "stranger"))
        certificate, key = ours.issue_apart()
        settings = ("ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={key}")
        extra = [word for setting in settings for word in ("-c", setting)]
        server = PostgresServer(folder / "postgres", fast=True, programs=programs, extra=extra)
        server.start()
        yield Place(server, ours.file, stranger.file)
        server.stop()


def speaks_tls(url: str, config: Configuration) -> bool:
    """Whether a worker's connection to a URL is encrypted."""
    database = Database(url, config)
    try:
        with database.transaction() as connection:
            return bool(connection.execute(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")).scalar_one())
    finally:
        database.dispose()


@pytest.mark.parametrize(("host", "options"), [(HOST, "sslmode=verify-full&sslrootcert=ours"), (IP, "sslmode=require")])
def test_migrations_and_workers_connect_by_tls(host: str, options: str, place: Place, config: Configuration) -> None:
    """`verify-full` with the server's authority and name, and `require`, which checks neither."""
    owner, worker = (place.url(user, host, options) for user in (OWNER, WORKER))
    assert migrate.upgrade(owner, worker)[1] == revision.head()
    assert migrate.check(owner) == []
    assert speaks_tls(worker, config)


@pytest.mark.parametrize(
    ("host", "options", "told"),
    [
        (HOST, "sslmode=verify-full&sslrootcert=stranger", "certificate verify failed"),
        (HOST, "sslmode=verify-full&sslrootcert=system", "certificate verify failed"),
        (HOST, "sslmode=verify-full&sslrootcert=/nowhere", "does not exist"),
        (IP, "sslmode=verify-full&sslrootcert=ours", "does not match host name"),
    ],
)
def test_nobody_talks_to_a_server_that_does_not_prove_its_name(
    host: str, options: str, told: str, place: Place, config: Configuration, start_worker: StartWorker
) -> None:
    """Neither migrations nor a worker's connection; a worker ends at its start with exit code 78 and says why."""
    owner, worker = (place.url(user, host, options) for user in (OWNER, WORKER))
    for ask in (lambda: migrate.upgrade(owner, worker), lambda: speaks_tls(worker, config)):
        with pytest.raises(Misconfigured, match=told):
            ask()
    ended = start_worker(DATABASE_URL=worker)
    assert ended.process.wait(PATIENCE_SECONDS) == 78, ended.output()
    (line,) = (line for line in ended.output().splitlines() if line.startswith("tollbook: "))
    assert line.startswith("tollbook: DATABASE_URL: ")
    assert told in line


def test_a_server_without_tls_is_no_server_where_tls_is_asked_for(postgres: PostgresServer, config: Configuration) -> None:
    """`require` on the wheel's PostgreSQL, which has none."""
    with pytest.raises(Misconfigured, match="does not support SSL"):
        speaks_tls(f"{postgres.url(WORKER)}?sslmode=require", config)


def test_a_certificate_that_goes_wrong_later_is_waited_for(place: Place, start_worker: StartWorker, broker: Broker) -> None:
    """Another authority's file takes the place of the right one, and sessions end: the worker waits, and records when it is mended."""
    options = "sslmode=verify-full&sslrootcert=ours"
    migrate.upgrade(place.url(OWNER, HOST, options), place.url(WORKER, HOST, options))
    authority = place.ours.with_name("changing.pem")
    authority.write_bytes(place.ours.read_bytes())
    worker = start_worker(
        DATABASE_URL=place.url(WORKER, HOST, f"sslmode=verify-full&sslrootcert={authority}"), TOLLBOOK_UNKNOWN_MANDATES="create"
    ).ready()
    authority.write_bytes(place.stranger.read_bytes())
    with psycopg.connect(place.server.url(SUPERUSER), autocommit=True) as administrator:
        administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [WORKER])
        broker.put("usage.json", json.dumps(event()).encode())
        eventually(lambda: worker.says("certificate verify failed"), "the worker says why it waits")
        assert administrator.execute("SELECT FROM transactions").fetchall() == []
        authority.write_bytes(place.ours.read_bytes())
        eventually(lambda: administrator.execute("SELECT FROM transactions").fetchall(), "the event is recorded")
    assert worker.terminate() == 0
