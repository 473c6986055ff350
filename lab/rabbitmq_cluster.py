"""A cluster of RabbitMQ nodes on one machine: quorum queues that outlive the loss of a node."""

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lab import process
from lab.process import Account, ServerFailed
from lab.rabbitmq import RabbitServer

WHOLE_SECONDS = 60.0


class _Node(RabbitServer):
    """A node that shares its port mapper, its cookie and its password with the others of its cluster."""

    _start_seconds = 120.0  # it may wait for the others
    _own_ports = ("port", "distribution_port")

    def __init__(self, directory: Path, shared: Mapping[str, Any], name: str, *, extra: Mapping[str, str]) -> None:
        super().__init__(directory, extra=extra)
        self._shared, self._name = shared, name

    def end_mapper(self) -> bool:
        """Whether the port mapper has ended, which it does once no node is left."""
        return super()._mapper_ended()

    def _mapper_ended(self) -> bool:
        return True  # the other nodes need it

    def _first_record(self) -> dict[str, Any]:
        return {"password": self._shared["password"], "name": self._name}

    def _record(self) -> dict[str, Any]:
        return super()._record() | {"mapper_port": self._shared["mapper_port"]}

    def _write_settings(self, account: Account) -> None:
        super()._write_settings(account)
        process.write_private(self.data / ".erlang.cookie", self._shared["cookie"], account)


class RabbitCluster:
    """Nodes on 127.0.0.1 that are one RabbitMQ, each with a copy of every quorum queue; they outlive this process.

    What was confirmed to a producer is on the disks of most of the nodes, so that with three of them any one may be lost. While a node is
    away, and until its queues have caught up (`is_whole`), the loss of a second one makes queues unavailable; they lose nothing by it.
    Each node takes some 120 MB of memory.

    Args:
        directory: the cluster's own folder; `start` makes it. For root, one that the unprivileged account can reach.
        size: how many nodes.
        extra: further settings of every node's `rabbitmq.conf`.
    """

    def __init__(self, directory: Path, *, size: int = 3, extra: Mapping[str, str] | None = None) -> None:
        self.directory = directory.resolve()
        self._record_path = self.directory / "cluster.json"
        self._shared: dict[str, Any] = process.read_record(self._record_path) or {
            "password": secrets.token_urlsafe(24),
            "cookie": secrets.token_hex(16),
            "name": f"tollbook-{secrets.token_hex(4)}",
            "mapper_port": None,
        }
        names = [f"{self._shared['name']}-{number}" for number in range(size)]
        self.nodes: list[RabbitServer] = [self._node(number, names, extra or {}) for number in range(size)]

    def start(self, number: int | None = None) -> None:
        """See to it that all nodes answer, or one of them, where the others run.

        Raises:
            ServerFailed: one doesn't start, or finds no way into the cluster; the message ends with its log.
            Misconfigured: there is no RabbitMQ on this machine.
        """
        if number is not None:
            self.nodes[number].start()
            return
        process.make_directory(self.directory)
        if not self.running():
            self._shared["mapper_port"] = process.free_port(self._shared["mapper_port"])
            process.write_private(self._record_path, json.dumps(self._shared))
        for node in self.nodes:  # the others join the first, which `stop` ends last; one at a time is also quicker
            node.start()
        if not process.wait_until(lambda: self._seen_by(0) == sorted(node.name for node in self.nodes), WHOLE_SECONDS):
            raise ServerFailed(f"the nodes in {self.directory} are no cluster; the first one sees {', '.join(self._seen_by(0))}")

    def kill(self, number: int) -> None:
        """End a node as a crash would (SIGKILL) and wait until it is gone."""
        self.nodes[number].kill()

    def stop(self) -> None:
        """End all nodes and their port mapper and keep their data."""
        for node in reversed(self.nodes):
            node.stop()
        self._end_mapper()

    def kill_all(self) -> None:
        """End all nodes (SIGKILL) and their port mapper, for good: RabbitMQ 3 does not always get together again after that."""
        for node in self.nodes:
            node.kill()
        self._end_mapper()

    def running(self) -> list[int]:
        """The numbers of the nodes that run."""
        return [number for number, node in enumerate(self.nodes) if node.pid is not None]

    def url(self, number: int = 0, virtual_host: str = "/") -> str:
        """The URL by which a client reaches one node; every node leads to every queue."""
        return self.nodes[number].url(virtual_host)

    def urls(self, virtual_host: str = "/") -> str:
        """All nodes' URLs, joined as Celery and kombu take them: they try one after the other."""
        return ";".join(node.url(virtual_host) for node in self.nodes)

    def leader_of(self, queue: str) -> int:
        """The number of the node that leads a quorum queue now.

        Raises:
            ServerFailed: there is no such queue, or it has no leader within a minute.
        """
        found: list[str] = []

        def led() -> bool:
            found[:] = [row["leader"] for row in self._queues() if row["name"] == queue and row["leader"] in self._names(self.running())]
            return bool(found)

        if not process.wait_until(led, WHOLE_SECONDS):
            raise ServerFailed(f"the queue {queue} has no leader in {self.directory}")
        return self._names(range(len(self.nodes))).index(found[0])

    def is_whole(self) -> bool:
        """Whether all nodes run and each of them takes part in every quorum queue: any one may be lost now."""
        if len(self.running()) < len(self.nodes):
            return False
        return all(sorted(row["online"]) == sorted(row["members"]) for row in self._queues() if row["type"] == "quorum")

    def _queues(self) -> list[dict[str, Any]]:
        columns = ("name", "type", "leader", "online", "members")
        rows: list[dict[str, Any]] = json.loads(self._any().control("list_queues", "--formatter", "json", *columns))
        return rows

    def _any(self) -> RabbitServer:
        running = self.running()
        if not running:
            raise ServerFailed(f"no node of {self.directory} runs")
        return self.nodes[running[0]]

    def _seen_by(self, number: int) -> list[str]:
        status: dict[str, Any] = json.loads(self.nodes[number].control("cluster_status", "--formatter", "json"))
        return sorted(status["running_nodes"])

    def _names(self, numbers: Iterable[int]) -> list[str]:
        return [self.nodes[number].name for number in numbers]

    def _node(self, number: int, names: list[str], extra: Mapping[str, str]) -> _Node:
        joins = {
            "cluster_formation.peer_discovery_backend": "classic_config",
            "cluster_formation.classic_config.nodes.1": f"{names[0]}@localhost",
            "cluster_formation.classic_config.nodes.2": f"{names[number]}@localhost",
        }
        return _Node(self.directory / str(number), self._shared, names[number], extra={**(joins if number else {}), **extra})

    def _end_mapper(self) -> None:
        node = self.nodes[0]
        if isinstance(node, _Node) and node.data.exists():
            process.wait_until(node.end_mapper, 5)
