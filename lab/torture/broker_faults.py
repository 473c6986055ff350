"""The faults of brokers and of the links to them: killed, full, read-only, out of reach, slow or silent."""

from collections.abc import Callable
from contextlib import closing, suppress

import redis

from lab.process import ServerFailed, wait_until
from lab.proxy import Proxy
from lab.rabbitmq import RabbitServer
from lab.torture.faults import Fault, Scene, on_redis
from lab.torture.link_faults import cut, half_open, one_way, refused, slow
from lab.torture.stage import Stage
from lab.valkey import ValkeyServer

MEMORY_FULL = "1mb"


def _broker_down(*, kill: bool) -> Callable[[Scene], bool]:
    def attack(scene: Scene) -> bool:
        servers = scene.stage.servers
        broker, cluster = servers.broker, servers.cluster
        try:
            broker.kill() if kill else broker.stop()
            scene.wait(0.2, 2.0)
            servers.lead_elsewhere()
        finally:
            _start(broker)
        return cluster is None or wait_until(cluster.is_whole, 60)  # before another one may be lost

    return attack


def _start(broker: ValkeyServer | RabbitServer) -> None:
    for attempts_left in (2, 1, 0):
        try:
            broker.start()
        except ServerFailed:
            if not attempts_left:
                raise
        else:
            return


def _redis_set(name: str, value: str, back: str) -> Callable[[Scene], bool]:
    def attack(scene: Scene) -> bool:
        with closing(redis.Redis.from_url(scene.stage.servers.broker.url(), socket_timeout=5)) as client:
            try:
                client.config_set(name, value)
                scene.wait(1.5, 3.5)
            finally:
                client.config_set(name, back)
        return True

    return attack


def _redis_read_only(scene: Scene) -> bool:
    with closing(redis.Redis.from_url(scene.stage.servers.broker.url(), socket_timeout=5)) as client:
        try:
            client.replicaof("127.0.0.1", "1")
            scene.wait(1.5, 3.0)
        finally:
            client.replicaof("NO", "ONE")
    return True


def _redis_connections_killed(scene: Scene) -> bool:
    with closing(redis.Redis.from_url(scene.stage.servers.broker.url(), socket_timeout=5)) as client:
        killed = 0
        for _ in range(5):
            with suppress(redis.ResponseError):
                killed += client.client_kill_filter(_type="normal", skipme=True)
            scene.wait(0.1, 0.4)
    return killed > 0


def _rabbit(*change: str, back: tuple[str, ...] = ()) -> Callable[[Scene], bool]:
    def attack(scene: Scene) -> bool:
        broker = scene.stage.servers.broker
        assert isinstance(broker, RabbitServer)
        try:
            broker.control(*change)
            scene.wait(2.0, 4.0)
        finally:
            if back:
                broker.control(*back)
        return True

    return attack


def on_rabbitmq(stage: Stage) -> bool:
    """Whether the broker is RabbitMQ."""
    return isinstance(stage.servers.broker, RabbitServer)


BROKER_FAULTS = (
    Fault("broker killed", _broker_down(kill=True)),
    Fault("broker restarted", _broker_down(kill=False)),
    Fault("broker link cut", cut(lambda stage: stage.servers.link)),
    Fault("broker link refused", refused(lambda stage: stage.servers.link)),
    Fault("broker link half-open", half_open(lambda stage: stage.servers.link)),
    Fault("broker link: requests lost", one_way(lambda stage: stage.servers.link, Proxy.silence_requests)),
    Fault("broker link: answers lost", one_way(lambda stage: stage.servers.link, Proxy.silence_replies)),
    Fault("broker link slow", slow(lambda stage: stage.servers.link)),
    Fault("producers' link cut", cut(lambda stage: stage.servers.wire)),
    Fault("producers' link refused", refused(lambda stage: stage.servers.wire)),
    Fault("producers' link half-open", half_open(lambda stage: stage.servers.wire)),
    Fault("broker's memory full", _redis_set("maxmemory", MEMORY_FULL, "0"), on_redis),
    Fault("broker read-only", _redis_read_only, on_redis),
    Fault("broker's connections killed", _redis_connections_killed, on_redis),
    Fault(
        "broker's memory full",
        _rabbit("set_vm_memory_high_watermark", "0.00001", back=("set_vm_memory_high_watermark", "absolute", "1GB")),
        on_rabbitmq,
    ),
    Fault("broker's connections killed", _rabbit("close_all_connections", "torture"), on_rabbitmq),
)
