"""The servers of a torture run, and the links to them that can be broken."""

from contextlib import ExitStack
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from core.schema import migrate
from lab import pgbouncer, small_disk
from lab.pgbouncer import PgBouncer
from lab.postgres import OWNER, PostgresServer
from lab.process import wait_until
from lab.proxy import Proxy
from lab.rabbitmq import RabbitServer
from lab.rabbitmq_cluster import RabbitCluster
from lab.small_disk import SmallDisk
from lab.standby import StandbyPair
from lab.valkey import ValkeyServer

DISK_MIB = 8 * 1024
LESS_LOG = ("-c", "max_wal_size=512MB", "-c", "shared_buffers=256MB")  # the disk is memory


class Servers:
    """PostgreSQL and a broker, each behind links: `database` and `link` for who works, `wire` for producers. As a context it starts and ends them.

    Args:
        folder: of their data; for root one that the servers' account can reach.
        broker: `redis` or `rabbitmq`.
        whole: also a synchronous standby, a disk that can be full (where root may mount one), a pooler (where there is a PgBouncer), and of
            RabbitMQ three nodes.
    """

    def __init__(self, folder: Path, broker: str, *, whole: bool) -> None:
        self.disk = SmallDisk(folder / "disk", mib=DISK_MIB) if whole and small_disk.is_possible() else None
        data = self.disk.folder if self.disk else folder
        self._first = PostgresServer(data / "postgres", extra=LESS_LOG if whole else ())
        self.pair = StandbyPair(self._first, data / "standby") if whole else None
        self.pooler: PgBouncer | None = None
        self.cluster = RabbitCluster(folder / "rabbitmq") if whole and broker == "rabbitmq" else None
        self._node = 0  # of the cluster: the one that the links lead to
        self._single = ValkeyServer(folder / "valkey", appendfsync="always") if broker == "redis" else RabbitServer(folder / "rabbitmq")
        self._pools, self._folder = whole and pgbouncer.is_installed(), folder
        self._exits = ExitStack()

    @property
    def postgres(self) -> PostgresServer:
        """The one that can be written to now."""
        return self._first if self.pair is None else self.pair.primary

    @property
    def broker(self) -> ValkeyServer | RabbitServer:
        """The one that the links lead to."""
        return self._single if self.cluster is None else self.cluster.nodes[self._node]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self.disk:
                stack.enter_context(self.disk)
            stack.callback(self._stop_postgres)
            self.postgres.start()
            migrate.upgrade(self.postgres.url(OWNER), self.postgres.url())
            if self.pair:
                self.pair.rebuild()
            stack.callback(self._stop_broker)
            self._start_broker()
            self.database = stack.enter_context(Proxy(self.postgres.url()))
            self.link = stack.enter_context(Proxy(self.broker.url()))
            self.wire = stack.enter_context(Proxy(self.broker.url()))
            if self._pools:
                self._start_pooler(stack)
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def database_url(self) -> str:
        """The worker's login, over the link."""
        return self.database.url(self.postgres.url())

    @property
    def pooled_url(self) -> str:
        """The worker's login, through the pooler where there is one, and over the link."""
        return self.pooler.url(self.postgres.url()) if self.pooler else self.database_url

    def heal(self) -> None:
        """Everything runs, and every link carries."""
        for link in (self.database, self.link, self.wire):
            link.heal()
        if self.disk:
            self.disk.free()
        self.start_postgres()
        if self.pair and not wait_until(self.pair.is_synchronous, 20):
            self.pair.rebuild()
        if self.pooler:
            self.pooler.start()
        self._start_broker()

    def lead_elsewhere(self) -> None:
        """Where there is a cluster, the links lead to another node that runs."""
        if self.cluster:
            self._node = next(number for number in self.cluster.running() if number != self._node)
            for link in (self.link, self.wire):
                link.lead_to(self.broker.url())

    def _start_broker(self) -> None:
        self.cluster.start() if self.cluster else self._single.start()

    def _stop_broker(self) -> None:
        self.cluster.kill_all() if self.cluster else self._single.stop()

    @property
    def deadlocks(self) -> int:
        """How many PostgreSQL has told of since the start, in the logs: its own count doesn't outlive a crash."""
        logs = [self._first.log, *([self.pair.primary.log, self.pair.standby.log] if self.pair else [])]
        return sum(log.read_bytes().count(b"deadlock detected") for log in set(logs) if log.exists())

    def start_postgres(self) -> None:
        """PostgreSQL runs; where it has a standby that one first, for what starts the other commits, and waits for it."""
        if self.pair:
            self.pair.standby.start()
        self.postgres.start()

    def _start_pooler(self, stack: ExitStack) -> None:
        parts = urlsplit(self.database_url)
        users = {unquote(parts.username or ""): unquote(parts.password or "")}
        self.pooler = PgBouncer(self._folder / "pgbouncer", self.database_url, users)
        stack.callback(self.pooler.kill)
        self.pooler.start()

    def _stop_postgres(self) -> None:
        if self.pair:
            self.pair.standby.kill()
            self.pair.primary.kill()
        self._first.stop()
