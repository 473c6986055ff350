"""The logins of deploy/: what neither a producer nor a worker may do to the broker, tried."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import amqp
import pytest
import redis

from lab.process import temporary_dir
from lab.rabbitmq import RabbitServer
from lab.valkey import ValkeyServer
from tests.delivery.conftest import require_rabbitmq
from tests.delivery.test_broker_logins import url_of, valkey  # noqa: F401 - a fixture
from tests.delivery.test_compose import definitions
from worker.intake.amqp_connection import QUORUM

_NOBODY = (
    *(("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "maxmemory", "1"), ("KEYS", "*"), ("SHUTDOWN", "NOSAVE")),
    *(("REPLICAOF", "127.0.0.1", "1"), ("ACL", "LIST"), ("ACL", "SETUSER", "eve", "on", "nopass", "~*", "+@all")),
    *(("MODULE", "LIST"), ("SAVE",), ("BGREWRITEAOF",), ("MONITOR",), ("CLIENT", "KILL", "TYPE", "normal"), ("SWAPDB", "0", "1")),
    *(("MIGRATE", "127.0.0.1", "1", "usage", "0", "1"), ("LPUSH", "prod:other", "x"), ("GET", "session:1"), ("DEL", "prod:other")),
)
_NOT_PRODUCERS = (
    *(("RPOP", "usage"), ("LRANGE", "usage", "0", "-1"), ("DEL", "usage"), ("LPUSH", "movements", "x"), ("LPUSH", "maintenance", "x")),
    *(("LPUSH", "views", "x"), ("ZADD", "tollbook.claims", "1", "x"), ("RENAME", "usage", "x"), ("PUBLISH", "/0.celery.pidbox", "x")),
    *(("EVAL", "return 1", "0"), ("SCAN", "0"), ("LPUSH", "tollbook.claim:1", "x"), ("SUBSCRIBE", "/0.celeryev/worker.heartbeat")),
)


def test_no_login_of_ours_may_harm_the_broker(valkey: ValkeyServer) -> None:  # noqa: F811 - the fixture
    """Neither empties, reconfigures or searches it, nor touches a list of somebody else; and a producer reads and fills its queues alone."""
    tried = {"worker": _NOBODY, "producer": (*_NOBODY, *_NOT_PRODUCERS)}
    for name, commands in tried.items():
        with redis.Redis.from_url(url_of(valkey, name)) as client:
            for command in commands:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*command)
    with redis.Redis.from_url(valkey.url()) as operator:
        assert operator.ping()


@pytest.fixture
def rabbit_of_deploy(tmp_path: Path) -> Any:
    """A RabbitMQ with the users of deploy/rabbitmq-start.sh, and a queue of somebody else's."""
    require_rabbitmq()
    assert definitions(tmp_path).returncode == 0
    with temporary_dir() as folder:
        server = RabbitServer(folder / "rabbitmq")
        server.start()
        made = folder / "definitions.json"
        made.write_text((tmp_path / "definitions.json").read_text())
        made.chmod(0o644)
        server.control("import_definitions", str(made))
        with amqp.Connection(f"127.0.0.1:{server.port}", userid="operator", password="secret1") as operator:
            channel = operator.channel()
            for queue in ("orders", "movements", "maintenance", "views"):
                channel.queue_declare(queue, durable=True, auto_delete=False, arguments=QUORUM)
        yield server
        server.stop()


_FOREIGN: dict[str, Callable[[Any], Any]] = {
    "publishes to another's queue": lambda channel: channel.exchange_declare("eve", "direct"),
    "declares a queue": lambda channel: channel.queue_declare("eve"),
    "reads another's queue": lambda channel: channel.basic_get("orders"),
    "empties another's queue": lambda channel: channel.queue_purge("orders"),
    "deletes another's queue": lambda channel: channel.queue_delete("orders"),
}
_OF_PRODUCERS: dict[str, Callable[[Any], Any]] = {
    "reads usage": lambda channel: channel.basic_get("usage"),
    "empties usage": lambda channel: channel.queue_purge("usage"),
    "deletes usage": lambda channel: channel.queue_delete("usage"),
    "publishes past its exchanges": lambda channel: _published(channel, "", "usage"),
    "has money moved": lambda channel: _published(channel, "", "movements"),
    "reads answers of others": lambda channel: channel.queue_bind("tollbook.reply.eve", "amq.topic", "#"),
}


def _published(channel: Any, exchange: str, routing_key: str) -> None:
    channel.basic_publish(amqp.Message("{}"), exchange=exchange, routing_key=routing_key, mandatory=True)


def test_no_login_of_ours_reaches_another_queue(rabbit_of_deploy: RabbitServer) -> None:
    """On RabbitMQ: neither declares, reads, empties or deletes what isn't its own, and a producer sends by its exchanges alone."""
    for name, attempts in {"worker": _FOREIGN, "producer": _FOREIGN | _OF_PRODUCERS}.items():
        for what, attempt in attempts.items():
            host = f"127.0.0.1:{rabbit_of_deploy.port}"
            with amqp.Connection(host, userid=name, password="secret1", confirm_publish=True) as connection:
                assert _is_refused(connection.channel(), attempt), f"{name} {what}"


def _is_refused(channel: Any, attempt: Callable[[Any], Any]) -> bool:
    try:
        attempt(channel)
    except amqp.AccessRefused:
        return True
    return False
