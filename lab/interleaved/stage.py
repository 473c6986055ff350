"""Where histories happen: books of their own, sessions that can be stepped, and what came of each history."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
from pydantic import SecretStr
from sqlalchemy import text

from core.config import Configuration
from core.database.database import Database
from core.dialects.all import DIALECTS_REVISION
from core.errors import StorageUnavailable
from core.ledger.sql.batches import begin_batch
from core.prices.load import meet_dialects, prices_of
from core.schema.migrate import upgrade
from lab.agreement.books import told_by_books
from lab.agreement.holds import holds_of_books
from lab.interleaved.history import AFTER, Chooser, History
from lab.interleaved.points import SteppedDatabase
from lab.interleaved.scheduler import Actor, Scheduler, Step, Watcher
from lab.interleaved.work import Hands, Work
from lab.postgres import OWNER, PostgresServer
from lab.process import temporary_dir

ACTORS_MAX, ATTEMPTS_MAX = 4, 30
UNTOLD = object()  # what somebody was told whose answer never came
State = dict[str, Any]
_FORGET = "DELETE FROM directory_memberships WHERE mandate_id = ANY(%(m)s); DELETE FROM directory_mandates WHERE id = ANY(%(m)s)"
_CAPS = text("SELECT id FROM caps WHERE mandate_id = ANY(:m) ORDER BY id")
_ACCOUNTS = text("SELECT mandate_id, coalesce(user_id, '') FROM accounts WHERE mandate_id = ANY(:m) ORDER BY id")
_BATCHES = text("""
    SELECT worker, sum(recorded)::int AS recorded, sum(duplicate)::int AS duplicate, sum(conflict)::int AS conflict,
           sum(parked)::int AS parked, sum(rejected)::int AS rejected
      FROM batches WHERE worker = ANY(:workers) GROUP BY worker
""")


@dataclass(frozen=True)
class Attempt:
    """A piece of work that was asked for: by whom, as which of his pieces, between which steps, and what he was told.

    `commits` says after which steps it committed something.
    """

    actor: int
    piece: int
    work: Work
    began: int
    ended: int
    commits: tuple[int, ...]
    told: object


@dataclass
class Played:
    """A history as it came out: its steps, who was told what, what the books say in the end, and what went wrong on the way."""

    history: History
    names: dict[str, str]
    schedule: tuple[int, ...]
    steps: list[Step]
    attempts: list[Attempt]
    books: State = field(default_factory=dict)
    cap_ids: list[int] = field(default_factory=list)
    opened: list[tuple[str, str]] = field(default_factory=list)  # accounts, in the order of their ids
    wrong: list[str] = field(default_factory=list)

    @property
    def interleaving(self) -> tuple[tuple[int, str, bool], ...]:
        """Whose statement came when, and whether it waited."""
        return tuple((step.actor, step.about, step.waited) for step in self.steps)


class Stage:
    """Books in which any number of histories happen one after another, each with mandates of its own."""

    def __init__(self, owner_url: str, worker_url: str) -> None:
        urls = {"database_url": SecretStr(worker_url), "database_owner_url": SecretStr(owner_url)}
        self.config = Configuration(**urls, unknown_mandates="park", default_time_zone="UTC", lock_timeout_seconds=60.0, _env_file=None)  # type: ignore[arg-type]
        self.plain = Database(worker_url, self.config)
        self._stepped = [SteppedDatabase(worker_url, self.config) for _ in range(ACTORS_MAX)]
        self._watcher, self._serial = Watcher(worker_url), 0
        with self.plain.transaction() as connection:
            meet_dialects(connection, DIALECTS_REVISION)
        for database in (self.plain, *self._stepped):
            with database.transaction() as connection:  # prices are known by each as they are
                prices_of(connection, begin_batch(connection).prices_token)
        self._owner = psycopg.connect(owner_url, autocommit=True)

    def close(self) -> None:
        """Ends all sessions."""
        for database in (self.plain, *self._stepped):
            database.dispose()
        self._watcher.close()
        self._owner.close()

    def play(self, history: History, chooser: Chooser) -> Played:
        """Does all of it; the mandates are new each time."""
        self._serial += 1
        names = history.names(self._serial)
        workers = [f"{self._serial:06}{number}" for number in range(len(history.actors))]
        attempts = self._quietly(history.before, names)
        scheduler = Scheduler(self._watcher, chooser)
        actors = []
        for number, works in enumerate(history.actors):
            database = self._stepped[number]
            hands = Hands(database, self.plain, self.config, names, workers[number])
            faults = {point: fault for (actor, point), fault in history.faults.items() if actor == number}
            actors.append(Actor(number, database, _doing(works, hands, scheduler, attempts), faults))
        scheduler.run(actors)
        played = Played(history, names, tuple(chooser.chosen), scheduler.steps, attempts)
        played.wrong += [f"deadlock: {told}" for told in scheduler.deadlocks]
        played.wrong += [f"{actor.number}: {actor.error!r}" for actor in actors if actor.error is not None]
        attempts += self._quietly(AFTER, names)
        self._look(played, workers)
        return played

    def _quietly(self, works: Sequence[Work], names: dict[str, str]) -> list[Attempt]:
        """Work that nobody comes between."""
        hands = Hands(self.plain, self.plain, self.config, names, "quiet")
        done = []
        for number, work in enumerate(works):
            hands.key = f"quiet{number}"
            done.append(Attempt(-1, number, work, 0, 0, (), work.told(hands)))
        return done

    def _look(self, played: Played, workers: list[str]) -> None:
        own = list(played.names.values())
        played.books = told_by_books(self.plain, own) | holds_of_books(self.plain, own)
        with self.plain.transaction() as connection:
            played.cap_ids = list(connection.execute(_CAPS, {"m": own}).scalars())
            played.opened = [(mandate, user) for mandate, user in connection.execute(_ACCOUNTS, {"m": own})]
            batches = connection.execute(_BATCHES, {"workers": workers}).mappings()
            played.books["batches"] = {int(row["worker"][-1]): {n: v for n, v in row.items() if n != "worker" and v} for row in batches}
        self._owner.execute(cast("Any", _FORGET.replace("%(m)s", "ARRAY[" + ", ".join(f"'{mandate}'" for mandate in own) + "]")))


def _doing(works: Sequence[Work], hands: Hands, scheduler: Scheduler, attempts: list[Attempt]) -> Callable[[Actor], None]:
    def do(actor: Actor) -> None:
        for piece, work in enumerate(works):
            hands.key = f"{actor.number}{piece}"
            for _ in range(ATTEMPTS_MAX):
                first, committed = len(scheduler.steps), len(actor.commits)
                try:
                    told = work.told(hands)
                except StorageUnavailable:
                    told = UNTOLD
                began = next((n for n in range(first, len(scheduler.steps)) if scheduler.steps[n].actor == actor.number), first)
                commits = tuple(actor.commits[committed:])
                attempts.append(Attempt(actor.number, piece, work, began, len(scheduler.steps), commits, told))
                if told is not UNTOLD:
                    break
            else:
                raise TimeoutError(f"{work} was asked for {ATTEMPTS_MAX} times in vain")

    return do


@contextmanager
def own_stage() -> Iterator[Stage]:
    """A stage on a server of its own, which is gone when the block ends."""
    with temporary_dir() as folder:
        server = PostgresServer(folder / "postgres", fast=True, extra=("-c", "autovacuum=off", "-c", "scram_iterations=1"))
        server.start()
        try:
            owner, worker = server.url(OWNER), server.url()
            upgrade(owner, worker)
            stage = Stage(owner, worker)
            try:
                yield stage
            finally:
                stage.close()
        finally:
            server.stop()
