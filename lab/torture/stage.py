"""The stage of a torture run: servers of its own, links that can be broken, and every process of the product, each a real one."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg

from lab import dates
from lab.clock import JumpingClock
from lab.postgres import DATABASE, SUPERUSER
from lab.process import wait_until
from lab.torture.operator_plan import Plan as OperatorPlan
from lab.torture.producer import WAYS, Plan
from lab.torture.servers import Servers

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ("worker-1", "worker-2")
MAINTENANCE, BEAT, RELAY = "maintenance", "beat", "relay"
OPERATOR = "operator"
FRAGILE, FRAGILE_MAINTENANCE = "fragile", "fragile-maintenance"  # these kill themselves at named points
STOP_SECONDS = 30.0
_OURS = ("TOLLBOOK_", "CELERY_", "FLOWER_", "DATABASE_", "REDIS_", "TORTURE_", "DIRECTORY_")
# So short that what waits for a time is over within the run.
IMPATIENT = {
    "TOLLBOOK_INTAKE_VISIBILITY_SECONDS": "3",
    "TOLLBOOK_INTAKE_SHUTDOWN_SECONDS": "5",
    "TOLLBOOK_STATEMENT_TIMEOUT_SECONDS": "6",
    "TOLLBOOK_LOCK_TIMEOUT_SECONDS": "3",
    "TOLLBOOK_DIRECTORY_SYNC_SECONDS": "10",
    "TOLLBOOK_DATABASE_POOL_SIZE": "8",
    "TORTURE_BROKER_TIMEOUT": "3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a stage is made for."""

    broker: str  # redis or rabbitmq
    seed: int
    events_per_second: float  # of all producers together
    events_max: int | None
    mandates: Mapping[str, list[str]]
    seconds: float  # of attack
    whole: bool  # with a standby, a pooler, a small disk


class Stage:
    """Everything that runs, by name; as a context it starts the servers, and at its end nothing runs any more.

    Every method may be called by several threads at once.
    """

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.folder, self.scale = folder, scale
        self.servers = Servers(folder, scale.broker, whole=scale.whole)
        self.clock = JumpingClock() if scale.whole and dates.has_faketime() and "FAKETIME" not in os.environ else None  # of the first worker
        self._exits = ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.crashes: Counter[str] = Counter()  # processes that ended by themselves with an error
        self._closed = False
        self._told_to_end = set[str]()
        self._given: dict[str, dict[str, str]] = {}  # with which further variables it was started
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self.clock:
                stack.enter_context(self.clock)
            stack.enter_context(self.servers)
            stack.callback(self._stop_all)
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Everything ends; who asks for that again meanwhile waits for it."""
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._exits.close()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    @property
    def names(self) -> list[str]:
        """Every process of a run, workers first."""
        return [*WORKERS, FRAGILE, MAINTENANCE, FRAGILE_MAINTENANCE, BEAT, *WAYS, RELAY, OPERATOR]

    def start(self, name: str, **environment: str) -> None:
        """Starts the process of this name, if it doesn't run, with further variables; with such, it is always one that has them."""
        if environment:
            self.end(name, signal.SIGKILL)
        with self._lock:
            if self._closed or self.runs(name):
                return
            self._note_crash(name)
            self._told_to_end.discard(name)
            self._given[name] = environment
            with (self.folder / f"{name}.log").open("ab") as log:
                self._running[name] = subprocess.Popen(
                    [sys.executable, *self._command(name)],
                    cwd=self.folder,
                    env=self._environment(name) | environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is ours alone
                )

    def tell(self, name: str, number: signal.Signals) -> bool:
        """Sends a signal to a process; whether it ran."""
        with self._lock:
            if not self.runs(name):
                return False
            if number not in (signal.SIGSTOP, signal.SIGCONT):
                self._told_to_end.add(name)
            self._running[name].send_signal(number)
            return True

    def end(self, name: str, number: signal.Signals = signal.SIGTERM, seconds: float = STOP_SECONDS) -> None:
        """Ends a process by a signal, and by SIGKILL where that is no use."""
        with self._lock:
            self.tell(name, signal.SIGCONT)
            if not self.tell(name, number):
                return
            ending = self._running[name]  # which another thread may start anew meanwhile
        try:
            ending.wait(seconds)
        except subprocess.TimeoutExpired:
            ending.kill()
            ending.wait(10)

    def runs(self, name: str) -> bool:
        """Whether it was started and hasn't ended."""
        return name in self._running and self._running[name].poll() is None

    def supervise(self) -> None:
        """Starts again what has ended by itself with an error, as a service manager would, and keeps count of it."""
        for name in self.names:
            with self._lock:
                if self._crashed(name):
                    self.start(name, **self._given[name])

    def _crashed(self, name: str) -> bool:
        """Whether it ended although nobody told it to, it hadn't all done, and this wasn't its point."""
        code = self._running[name].poll() if name in self._running else None
        if code is None or name in self._told_to_end or (code == 0 and name in WAYS):
            return False
        return not (code == -signal.SIGKILL and self._given[name])

    def _note_crash(self, name: str) -> None:
        if self._crashed(name):
            self.crashes[f"{name} ended with {self._running[name].poll()}"] += 1

    def has_finished(self, name: str) -> bool:
        """Whether it ended by itself, with nothing left to do."""
        return name in self._running and self._running[name].poll() == 0

    def is_at_a_point(self, name: str) -> bool:
        """Whether it was started to kill itself somewhere."""
        return bool(self._given.get(name))

    def died(self, name: str, seconds: float) -> bool:
        """Whether it kills itself in time."""
        return wait_until(lambda: self._running[name].poll() == -signal.SIGKILL and name not in self._told_to_end, seconds)

    def log(self, name: str) -> str:
        """What a process has written so far."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def plan(self, name: str) -> Plan:
        """What a producer is told."""
        return Plan(
            name=name,
            way=next(way for way in WAYS if way == name),
            folder=str(self.folder),
            broker_url=self.servers.wire.url(self.servers.broker.url()),
            seed=self.scale.seed,
            mandates=dict(self.scale.mandates),
            events_per_second=self.scale.events_per_second / len(WAYS),
            events_max=self.scale.events_max and -(-self.scale.events_max // len(WAYS)),
        )

    def operator_plan(self, url: str) -> OperatorPlan:
        """What the operator is told, who reaches the books at this URL."""
        scale = self.scale
        return OperatorPlan(url, str(self.folder), seed=scale.seed, mandates=dict(scale.mandates), seconds=scale.seconds, pause=0.05)

    @property
    def operator_plan_file(self) -> Path:
        """Where the operator's process finds what it is told."""
        path = self.folder / "operator.plan"
        self.operator_plan(self.servers.database_url).write(path)
        return path

    def administrator(self) -> psycopg.Connection[tuple[object, ...]]:
        """A superuser's connection to the books, past every link; the caller closes it."""
        return psycopg.connect(self.servers.postgres.url(SUPERUSER, DATABASE), autocommit=True, connect_timeout=5)

    def _command(self, name: str) -> list[str]:
        if name in WAYS:
            return ["-m", "lab.torture.producer", str(self.plan(name).write())]
        if name == RELAY:
            return [
                "-m",
                "tollbook_client.relay",
                "--database",
                f"sqlite:///{self.plan('outbox').outbox}",
                "--broker",
                self.servers.wire.url(self.servers.broker.url()),
            ]
        if name == OPERATOR:
            return ["-m", "lab.torture.failing_operator", str(self.operator_plan_file)]
        if name.startswith(BEAT):
            return ["-m", "celery", "-A", "worker.app", "beat", "--schedule", str(self.folder / f"{name}-schedule")]
        queues = "maintenance,views,movements,checks" if name in (MAINTENANCE, FRAGILE_MAINTENANCE) else "usage,usage.json,checks"
        options = ["-Q", queues, "--without-mingle", "--without-gossip", "--concurrency", "4"]
        return ["-m", "celery", "-A", "lab.torture.failing_app", "worker", "-n", f"{name}@torture", *options]

    def _environment(self, name: str) -> dict[str, str]:
        foreign = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
        return {
            **foreign,
            **IMPATIENT,
            "DATABASE_URL": self.servers.pooled_url if name == WORKERS[1] else self.servers.database_url,
            "CELERY_BROKER_URL": self.servers.link.url(self.servers.broker.url()),
            "TOLLBOOK_LOG_FORMAT": "json",
            **(self.clock.environment() if self.clock and name == WORKERS[0] else {}),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }

    def _stop_all(self) -> None:
        self._closed = True
        for name in list(self._running):
            self.tell(name, signal.SIGCONT)
            self.tell(name, signal.SIGTERM)
        for name in list(self._running):
            self.end(name, signal.SIGKILL, 5)
