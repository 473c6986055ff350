"""Processor time by kind of process: what a path costs, however busy the machine is with other things."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from lab.services import Services


@dataclass(frozen=True)
class Cpu:
    """Processor time in seconds, or in microseconds per event."""

    worker: float
    postgres: float
    broker: float

    def per_event(self, since: "Cpu", events: int) -> "Cpu":
        """What went by since an earlier reading, in microseconds per event."""

        def share(now: float, then: float) -> float:
            return (now - then) / events * 1e6

        return Cpu(share(self.worker, since.worker), share(self.postgres, since.postgres), share(self.broker, since.broker))

    @classmethod
    def median(cls, rounds: "Sequence[Cpu]") -> "Cpu":
        """Of each kind of process, the middle one."""
        return cls(*(statistics.median(getattr(one, name) for one in rounds) for name in ("worker", "postgres", "broker")))


def reader(services: Services, worker_pids: list[int]) -> Callable[[], Cpu]:
    """Reads the processor time used so far by the workers, by PostgreSQL with all its backends, and by Valkey."""
    postgres = services.postgres.pid if services.postgres else None
    valkey = services.valkey.pid if services.valkey else None

    def read() -> Cpu:
        return Cpu(sum(map(_seconds, worker_pids)), _seconds(postgres), _seconds(valkey))

    return read


def _seconds(pid: int | None) -> float:
    """Of the process and its children, those that have ended included."""
    if pid is None:
        return 0.0
    process = psutil.Process(pid)
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    own = process.cpu_times()
    return total + own.children_user + own.children_system
