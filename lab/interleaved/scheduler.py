"""One of several actors runs at any time, and a schedule says who is the next: which statements meet which is no accident.

Each actor has a thread, and one baton goes around. Who waits in PostgreSQL for another's lock has given it back, and goes on as soon as
that lock is free, before anybody else does. Where several wait, those that are not yet asked to go on are held by SIGSTOP, so that PostgreSQL
gives them what they wait for in the order in which they came.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from threading import Semaphore, Thread
from typing import Any

import psycopg

from core.database.answers import ImpatientConnection
from lab.interleaved.points import COMMIT, SteppedDatabase

PATIENCE_MILLISECONDS = 1  # before one looks whether a statement waits for a lock
DEADLOCK_SECONDS = 30.0  # after a second PostgreSQL looks for a deadlock by itself
Answering = Generator[Any, Any, Any]


class Fault(StrEnum):
    """What may happen to an actor at a statement."""

    DIES = "dies before it"  # its session is ended, and it doesn't run
    LOST = "answer lost"  # it runs, its session is ended, and nobody is told
    CANCELED = "canceled"  # before it does anything
    CANCELED_WAITING = "canceled while it waits"  # the next one that waits for a lock


class State(StrEnum):
    """Whether an actor can be asked to go on."""

    STANDS = "stands before a statement"
    WAITS = "waits for a lock"
    DONE = "is done"


@dataclass
class Step:
    """One statement that was run: whose, what it was, what happened to it, and whether it had to wait for a lock."""

    actor: int
    about: str
    fault: Fault | None = None
    waited: bool = False

    def __str__(self) -> str:
        notes = [*([str(self.fault)] if self.fault else []), *(["waits"] if self.waited else [])]
        return f"{'ABCDEFGH'[self.actor]}: {self.about}" + (f"  [{', '.join(notes)}]" if notes else "")


class Watcher:
    """A session of its own, which looks at the others and ends them."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        """Ends it."""
        self._connection.close()

    def waits(self, pid: int) -> bool:
        """Whether a session waits for another's lock."""
        (blockers,) = self._connection.execute("SELECT pg_blocking_pids(%s)", [pid]).fetchone() or ([],)
        return bool(blockers)

    def cancel(self, pid: int) -> None:
        """Cancels what a session is at."""
        self._connection.execute("SELECT pg_cancel_backend(%s)", [pid])

    def end(self, pid: int) -> None:
        """Ends a session, and waits until nothing of it is left."""
        self._connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        while self._connection.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
            time.sleep(0.0005)


class Actor:
    """Somebody who does `work` on a database, a statement at a time; `faults` happen to him at the statements of these numbers."""

    def __init__(self, number: int, database: SteppedDatabase, work: Callable[["Actor"], None], faults: dict[int, Fault]) -> None:
        self.number, self.state, self.commits, self.reached = number, State.STANDS, list[int](), 0
        self.error: BaseException | None = None
        self._database, self._work, self._faults = database, work, faults
        self._go, self._back = Semaphore(0), Semaphore(0)
        self._thread = Thread(target=self._live, daemon=True)
        self.connection: ImpatientConnection | None = None
        self.is_stopped = self._cancels = False

    def begin(self, scheduler: "Scheduler") -> None:
        """He goes as far as his first statement."""
        self._scheduler = scheduler
        self._thread.start()
        self.go_on()

    def go_on(self) -> None:
        """He runs the statement that he stands before, and goes as far as the next one; returns when he stands, waits, or is done."""
        self._go.release()
        self._back.acquire()

    def _live(self) -> None:
        self._go.acquire()
        self._database.runner = self
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001, whatever it is belongs to the verdict
            self.error = error
        finally:
            self._database.runner = None
            self.state = State.DONE
            self._back.release()

    def _hand_over(self, state: State) -> None:
        self.state = state
        self._back.release()
        self._go.acquire()

    def run(self, connection: ImpatientConnection, answering: Answering, about: str | None) -> Any:
        """See `points.Runner`."""
        if about is None:
            return self._answered(connection, answering, None)
        self._hand_over(State.STANDS)
        fault = self._faults.get(self.reached)
        self.reached += 1
        step = Step(self.number, about, None if fault is Fault.CANCELED_WAITING else fault)
        self._scheduler.steps.append(step)
        pid = connection.info.backend_pid
        if fault is Fault.CANCELED:
            answering.close()
            raise psycopg.errors.QueryCanceled("canceling statement due to user request")
        if fault is Fault.DIES:
            self._scheduler.watcher.end(pid)
        self._cancels |= fault is Fault.CANCELED_WAITING
        answer = self._answered(connection, answering, step)
        if about == COMMIT:
            self.commits.append(len(self._scheduler.steps))
        if fault is Fault.LOST:
            self._scheduler.watcher.end(pid)
            connection.pgconn.finish()
            raise psycopg.OperationalError("the answer was lost")
        return answer

    def _answered(self, connection: ImpatientConnection, answering: Answering, step: Step | None) -> Any:
        """What PostgreSQL answers; while it waits for a lock, somebody else may go on."""
        poll = select.poll()
        try:
            wants = next(answering)
            while True:
                poll.register(connection.pgconn.socket, wants)  # psycopg's 1 and 2 are made into poll's below
                found = self._ready(poll, connection, wants, step)
                wants = answering.send(found)
        except StopIteration as end:
            return end.value
        except psycopg.errors.DeadlockDetected as error:
            self._scheduler.deadlocks.append(f"{'ABCDEFGH'[self.number]}: {error}")
            raise

    def _ready(self, poll: select.poll, connection: ImpatientConnection, wants: int, step: Step | None) -> int:
        descriptor, pid = connection.pgconn.socket, connection.info.backend_pid
        poll.modify(descriptor, (select.POLLIN if wants & 1 else 0) | (select.POLLOUT if wants & 2 else 0))
        while not (events := poll.poll(PATIENCE_MILLISECONDS)):
            if wants & 1 and self._scheduler.watcher.waits(pid):
                if step is not None:
                    step.waited = True
                if self._cancels and step is not None:
                    step.fault, self._cancels = Fault.CANCELED_WAITING, False
                    self._scheduler.watcher.cancel(pid)
                    continue
                self.connection = connection
                self._hand_over(State.WAITS)
        ((_, found),) = events
        ready = (1 if found & ~select.POLLOUT else 0) | (2 if found & select.POLLOUT else 0)
        return ready & wants or wants

    @property
    def has_answer(self) -> bool:
        """Whether PostgreSQL has answered what he waits for."""
        assert self.connection is not None
        return bool(select.select([self.connection.pgconn.socket], [], [], 0)[0])

    def hold(self, signal_number: signal.Signals) -> None:
        """Stops his session's process, or lets it go on."""
        assert self.connection is not None
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.connection.info.backend_pid, signal_number)
            self.is_stopped = signal_number is signal.SIGSTOP


class Scheduler:
    """Runs actors to their end; `choose` is asked, out of those who can go on, who does. What was run stands in `steps`."""

    def __init__(self, watcher: Watcher, choose: Callable[[Sequence[int]], int]) -> None:
        self.watcher, self._choose = watcher, choose
        self.steps: list[Step] = []
        self.deadlocks: list[str] = []
        self._waiting: list[Actor] = []  # the first who waited first

    def run(self, actors: Sequence[Actor]) -> None:
        """Returns when all are done."""
        for actor in actors:
            actor.begin(self)
        while True:
            ready = [actor.number for actor in actors if actor.state is State.STANDS]
            if ready:
                self._go_on(actors[self._choose(ready)])
            elif self._waiting:
                self._await_deadlock()
            else:
                return
            self._settle()

    def _go_on(self, actor: Actor) -> None:
        stopped = self._waiting if len(self._waiting) > 1 else []
        for other in stopped:
            other.hold(signal.SIGSTOP)
        actor.go_on()
        if actor.state is State.WAITS:
            self._waiting.append(actor)

    def _settle(self) -> None:
        """Whoever needn't wait any more goes as far as his next statement."""
        for actor in list(self._waiting):
            if actor.is_stopped:
                actor.hold(signal.SIGCONT)
            assert actor.connection is not None
            pid = actor.connection.info.backend_pid
            while not actor.has_answer and not self.watcher.waits(pid):
                time.sleep(0.0002)
            if actor.has_answer:
                self._waiting.remove(actor)
                actor.go_on()
                if actor.state is State.WAITS:
                    self._waiting.append(actor)

    def _await_deadlock(self) -> None:
        """All wait: PostgreSQL ends a deadlock by an error."""
        until = time.monotonic() + DEADLOCK_SECONDS
        while not any(actor.has_answer for actor in self._waiting):
            if time.monotonic() > until:
                raise TimeoutError(f"{len(self._waiting)} actors wait for locks, and nothing happens")
            time.sleep(0.005)
