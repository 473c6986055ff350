"""Sessions that go on one statement at a time, in whatever order a test wants: real transactions, interleaved on purpose."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

from sqlalchemy import event as sql_event
from sqlalchemy import text

from core.database.database import Database

_DEADLOCK = "40P01"
_LOOK_SECONDS = 0.01  # after which a statement that isn't done yet is looked for among those that wait for a lock
_PATIENCE_SECONDS = 60.0
_WAITS = text("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = :pid AND NOT granted)")


@dataclass
class Session:
    """One piece of work, on connections of its own; it stops before each statement and each commit until it is told to go on."""

    name: str
    work: Callable[[], None]
    stopped: bool = False
    done: bool = False
    error: BaseException | None = None
    deadlocks: int = 0
    told: bool = False
    pid: int = 0
    thread: Thread = field(init=False)


class Interleaving:
    """Several sessions, of which one runs at a time, but for those that wait for a lock."""

    def __init__(self, observer: Database) -> None:
        self.observer, self.sessions = observer, list[Session]()
        self._changed = Condition()

    def add(self, name: str, database: Database, work: Callable[[], None]) -> Session:
        """A session that does `work`, which uses `database` alone; it stands before its first statement when this returns."""
        session = Session(name, work)
        engine = database._engine
        sql_event.listen(engine, "before_cursor_execute", lambda connection, *_: self._stop(session, connection))
        sql_event.listen(engine, "commit", lambda connection: self._stop(session, connection))
        sql_event.listen(engine, "handle_error", lambda context: _count(session, context))
        session.thread = Thread(target=self._run, args=[session], name=name, daemon=True)
        self.sessions.append(session)
        session.thread.start()
        self._await(lambda: session.stopped or session.done)
        return session

    def step(self, session: Session) -> bool:
        """Lets it do its next statement; whether it stands before another one then, so that it neither waits for a lock nor is done."""
        with self._changed:
            if not session.stopped:
                return False
            session.stopped, session.told = False, True
            self._changed.notify_all()
            while not (session.stopped or session.done):
                if not self._changed.wait(_LOOK_SECONDS) and self._waits(session):
                    return False
            return session.stopped

    def run(self, session: Session, steps: int | None = None) -> None:
        """Lets it go on until it waits for a lock or is done, or for so many statements."""
        while (steps is None or steps > 0) and self.step(session):
            steps = None if steps is None else steps - 1

    def finish(self) -> None:
        """Lets all of them go on until they are done; raises the first error that one of them ended with."""
        while not all(session.done for session in self.sessions):
            ready = [session for session in self.sessions if session.stopped]
            for session in ready:
                self.run(session)
            if not ready:
                self._await(lambda: any(session.stopped for session in self.sessions) or all(session.done for session in self.sessions))
        for session in self.sessions:
            session.thread.join(_PATIENCE_SECONDS)
            if session.error is not None:
                raise session.error

    def _run(self, session: Session) -> None:
        try:
            session.work()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for it
            session.error = error
        with self._changed:
            session.done = True
            self._changed.notify_all()

    def _stop(self, session: Session, connection: Any) -> None:
        with self._changed:
            session.pid = connection.connection.driver_connection.info.backend_pid
            session.stopped = True
            self._changed.notify_all()
            while not session.told:
                self._changed.wait()
            session.told = False

    def _waits(self, session: Session) -> bool:
        with self.observer.transaction() as connection:
            waits: bool = connection.execute(_WAITS, {"pid": session.pid}).scalar_one()
            return waits

    def _await(self, happened: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(happened, _PATIENCE_SECONDS), [(s.name, s.stopped, s.done) for s in self.sessions]


def _count(session: Session, context: Any) -> None:
    if getattr(context.original_exception, "sqlstate", None) == _DEADLOCK:
        session.deadlocks += 1
