"""`tollbook doctor` before real servers: what would lose money or stand still is told, with what to do; nothing is changed by looking."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import redis

from core.clock import utc_now
from core.config import Configuration
from core.errors import Misconfigured
from lab.process import temporary_dir
from lab.valkey import ValkeyServer
from tests.conftest import DatabaseUrls, Rows, StartPooler
from tests.delivery.brokers import RabbitBroker
from tests.delivery.conftest import ROOT, eventually
from tests.directory.source import ApplicationDatabase
from tests.schema.logins import execute
from worker.doctor import books, broker, rabbitmq_broker, redis_broker
from worker.doctor.all_looks import looks_at
from worker.doctor.finding import Finding
from worker.doctor.subject import Subject
from worker.intake.amqp_connection import connected

Told = list[tuple[str, str]]


def told(findings: Iterator[Finding]) -> Told:
    """Severity and words of findings."""
    return [(found.severity.value, found.what) for found in findings]


def words(findings: Iterator[Finding], severity: str) -> str:
    """The words of those of one severity, and their cures, together."""
    return "\n".join(f"{found.what} -> {found.cure}" for found in findings if found.severity == severity)


@pytest.fixture
def about(make_config: Callable[..., Configuration]) -> Callable[..., Subject]:
    """Makes what is looked at: the test's database, and a configuration that differs in these fields."""
    return lambda **fields: Subject(make_config(**fields))


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey of the test's own, set up as it should be."""
    with temporary_dir() as folder:
        server = ValkeyServer(folder / "valkey", appendfsync="always")
        server.start()
        yield server
        server.stop()


def test_a_redis_that_may_lose_messages_is_told(valkey: ValkeyServer, about: Callable[..., Subject]) -> None:
    """A wrong policy, full memory, no append-only file, a lazy one, a user without a password, a right too few, a list that nobody reads."""
    looked_at = about(broker_url=valkey.url())
    looks = (redis_broker.look_at_memory, redis_broker.look_at_persistence, redis_broker.look_at_replication, redis_broker.look_at_rights)
    everything = (broker.look_at_broker, *looks, broker.look_at_foreign_lists)
    assert {severity for look in everything for severity, _ in told(look(looked_at))} == {"ok"}
    with redis.Redis.from_url(valkey.url()) as client:
        client.config_set("appendfsync", "everysec")
        assert "up to two seconds" in words(redis_broker.look_at_persistence(looked_at), "warning")
        client.config_set("appendonly", "no")
        assert "CONFIG SET appendonly yes" in words(redis_broker.look_at_persistence(looked_at), "error")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]))
        client.config_set("maxmemory-policy", "allkeys-lru")
        found = words(redis_broker.look_at_memory(looked_at), "error")
        assert "maxmemory-policy noeviction" in found
        assert "producers are refused when it is full" in found
        client.config_set("maxmemory", 0)
        client.lpush("prod:usage", "{}")
        assert "tollbook intake adopt 'prod:usage'" in words(broker.look_at_foreign_lists(looked_at), "error")
        client.execute_command("ACL", "SETUSER", "poor", "on", ">poor", "~*", "&*", "+@all", "-rename")
        poor = about(broker_url=valkey.url().replace("default:", "poor:").replace(client.connection_pool.connection_kwargs["password"], "poor"))
        assert "lacks a right" in words(redis_broker.look_at_rights(poor), "error")
        client.execute_command("ACL", "SETUSER", "default", "nopass")
        assert "needs no password" in words(redis_broker.look_at_rights(looked_at), "warning")
        client.replicaof("127.0.0.1", 1)
        assert "replica" in words(redis_broker.look_at_replication(looked_at), "error")


@pytest.mark.parametrize("broker_kind", ["rabbitmq"])
def test_a_rabbitmq_that_may_lose_messages_is_told(rabbit: RabbitBroker, about: Callable[..., Subject]) -> None:
    """A queue of another type, one that isn't there, which looking doesn't make, and an alarm that blocks publishing."""
    looked_at = about(broker_url=rabbit.url)
    looks = (broker.look_at_broker, rabbitmq_broker.look_at_queues, rabbitmq_broker.look_at_publishing)
    assert [severity for look in looks for severity, _ in told(look(looked_at))] == ["ok"] * 3
    with connected(rabbit.url) as channel:
        for queue in ("usage", "views"):
            channel.queue_delete(queue)
        channel.queue_declare("usage", durable=True, auto_delete=False)
    for _ in range(2):
        found = list(rabbitmq_broker.look_at_queues(looked_at))
        assert "tollbook intake migrate usage" in words(iter(found), "error")
        assert "not declared yet: views" in words(iter(found), "warning")
    rabbit.server.control("set_vm_memory_high_watermark", "0.00001")
    try:
        eventually(lambda: "alarm" in words(rabbitmq_broker.look_at_publishing(looked_at), "error"), "the alarm is told")
    finally:
        rabbit.server.control("set_vm_memory_high_watermark", "0.4")


class _Management(BaseHTTPRequestHandler):
    """RabbitMQ's management interface, as far as it is asked: what 3.10 answers, cut to what is read."""

    policy: dict[str, Any] = {}  # noqa: RUF012 - the test's
    alarm = False

    def do_GET(self) -> None:
        """Queues or nodes, for whoever logs in."""
        queues = [{"name": "usage", "effective_policy_definition": self.policy}, {"name": "theirs", "effective_policy_definition": {"expires": 1}}]
        nodes = [{"name": "rabbit@one", "mem_alarm": self.alarm, "disk_free_alarm": False, "running": True}]
        answer = json.dumps({"/api/queues/%2F": queues, "/api/nodes": nodes}[self.path]).encode()
        self.send_response(200 if self.headers["Authorization"] else 401)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        """Nothing."""


def test_policies_that_drop_messages_are_told(about: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the management interface: a length that drops, a time to live, an expiry, a dead-letter exchange that nobody reads, an alarm."""
    with HTTPServer(("127.0.0.1", 0), _Management) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("FLOWER_BROKER_API", f"http://u:p@127.0.0.1:{server.server_port}/api/")
        looked_at = about(broker_url="amqp://u:p@127.0.0.1:1/")
        dead = {"dead-letter-exchange": "", "dead-letter-routing-key": "usage.dead"}
        _Management.policy, _Management.alarm = {**dead, "max-length-bytes": 9, "overflow": "reject-publish", "message-ttl": 5}, False
        assert [severity for severity, _ in told(rabbitmq_broker.look_at_policies(looked_at))] == ["ok"]
        _Management.policy = {"max-length": 9, "message-ttl": 5, "expires": 7, "dead-letter-exchange": "elsewhere"}
        _Management.alarm = True
        assert [severity for severity, _ in told(rabbitmq_broker.look_at_policies(looked_at))] == ["error", "error", "error", "warning", "error"]
        server.shutdown()
    monkeypatch.delenv("FLOWER_BROKER_API")
    assert [severity for severity, _ in told(rabbitmq_broker.look_at_policies(about(broker_url="amqp://127.0.0.1:1/")))] == ["skipped"]


def test_books_that_are_not_ready_are_told(
    about: Callable[..., Subject], database_urls: DatabaseUrls, rows: Rows, empty_database_urls: DatabaseUrls
) -> None:
    """One login for both, a partition that is missing, a right taken away, a clock that is wrong, no tables, a directory without a column."""
    looked_at = about()
    looks = (books.look_at_worker_login, books.look_at_owner_login, books.look_at_revision, books.look_at_tables, books.look_at_partitions)
    assert [severity for look in (*looks, books.look_at_clock, books.look_at_zones) for severity, _ in told(look(looked_at))] == ["ok"] * 7
    same = about(database_url=database_urls.owner)
    assert "owns the tables" in words(books.look_at_owner_login(same), "warning")
    partitions = rows("SELECT relname AS name FROM pg_class WHERE relname ~ '^transactions_[0-9]{4}_[0-9]{2}$' ORDER BY 1")
    months = [row["name"] for row in partitions]
    execute(database_urls.owner, f"DROP TABLE {months[-1]}, {months[1]}")
    missing = dict(told(books.look_at_partitions(looked_at)))
    assert months[-1].removeprefix("transactions_").replace("_", "-") in missing["warning"]
    assert months[1].removeprefix("transactions_").replace("_", "-") in missing["error"]
    alone = about(database_owner_url=None)
    execute(database_urls.owner, "REVOKE INSERT ON transactions FROM tollbook_worker")
    for looked in (looked_at, alone):
        assert "tollbook db upgrade" in words(books.look_at_tables(looked), "error")
    assert "behind" in words(books.look_at_clock(looked_at, lambda: utc_now() + timedelta(seconds=5)), "warning")
    assert "ahead of" in words(books.look_at_clock(looked_at, lambda: utc_now() - timedelta(minutes=5)), "error")
    none = about(database_url=empty_database_urls.owner)
    assert "tollbook db upgrade" in words(books.look_at_revision(none), "error")
    application = ApplicationDatabase(empty_database_urls.owner)
    assert [severity for severity, _ in told(books.look_at_directory(about(directory_url=application.url)))] == ["ok"]
    application.run("ALTER TABLE mandates DROP COLUMN label")
    with pytest.raises(Misconfigured, match="TOLLBOOK_DIRECTORY_MANDATES_SELECT"):
        told(books.look_at_directory(about(directory_url=application.url)))


def test_the_command_goes_on_where_servers_are_away(environment: dict[str, str]) -> None:
    """Database and broker down: both are told, the rest is looked at or named as not looked at, exit code 1, and no password is shown."""
    away = {
        "DATABASE_URL": "postgresql://u:hunter2-and-more@127.0.0.1:1/d",
        "DATABASE_OWNER_URL": "postgresql://u:hunter2-and-more@127.0.0.1:1/d",
        "CELERY_BROKER_URL": "redis://default:hunter2-and-more@127.0.0.1:1/0",
        "FLOWER_PORT": "1",
        "FLOWER_BASIC_AUTH": "operator:hunter2-and-more",
    }
    command = [sys.executable, "-m", "cli.main", "doctor"]
    done = subprocess.run([*command, "--json"], cwd=ROOT, env=environment | away, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert "hunter2" not in done.stdout
    answer = json.loads(done.stdout)
    found = [(finding["look"], finding["severity"]) for finding in answer["findings"]]
    assert {look for look, severity in found if severity == "error"} == {"database", "broker"}
    assert {look for look, _ in found} == {look.name for look in looks_at(Configuration(broker_url=away["CELERY_BROKER_URL"]))}
    assert not answer["ok"]
    people = subprocess.run(command, cwd=ROOT, env=environment | away, capture_output=True, text=True, check=False, timeout=60)
    assert people.returncode == 1
    assert "do: start PostgreSQL" in people.stdout
    assert people.stdout.splitlines()[-1].startswith("doctor: 2 errors")


def test_a_pooler_is_noticed(about: Callable[..., Subject], start_pooler: StartPooler, database_urls: DatabaseUrls) -> None:
    """Whatever gives each transaction another session is told, and everything is looked at through it."""
    looked_at = about(database_url=start_pooler().url(database_urls.worker), database_owner_url=None)
    assert "by way of a pooler" in told(books.look_at_worker_login(looked_at))[0][1]
    looks = (books.look_at_owner_login, books.look_at_revision, books.look_at_tables, books.look_at_clock, books.look_at_partitions)
    assert {severity for look in looks for severity, _ in told(look(looked_at))} == {"ok"}
