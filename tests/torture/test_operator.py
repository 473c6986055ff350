"""The operator process of a torture run: killed and begun again, its sessions ended, it does everything once; and what it writes down of that."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Connection, text

from core.config import Configuration
from core.database.database import Database
from core.errors import StorageUnavailable
from core.ledger.opening import KnownAccounts
from core.recording.record_usage import record_usage
from lab.oracle.torture_operator import EXPECTED, exercised, judge
from lab.torture.lines import read_lines
from lab.torture.operator import KINDS, Operator, open_world
from lab.torture.operator_first import first_books, last_books
from lab.torture.operator_journal import OperatorJournal
from lab.torture.operator_plan import Plan
from tests.conftest import DatabaseUrls
from tests.sample_events import raw
from tests.torture.conftest import tables_of
from tests.torture.usage import Usage

GROWN = 40  # lines of the journal between two kills
PATIENCE = 200  # seconds, on a busy machine
STEPS = 300
_VICTIMS = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user AND xact_start IS NOT NULL
""")
_HARD = frozenset({"maybe, then done", "begun again"})


@pytest.fixture
def plan(database_urls: DatabaseUrls, tmp_path: Path) -> Plan:
    """For the test's own database, in a hurry."""
    return Plan(database_urls.worker, str(tmp_path), seed=11, seconds=6, pause=0.001, heavy=0.5)


@contextmanager
def recording(plan: Plan, database: Database, config: Configuration) -> Iterator[None]:
    """Inside, another thread records usage, and tells again what nobody has answered."""
    stop, known, usage = threading.Event(), KnownAccounts(), Usage(plan, Random(plan.seed))

    def record() -> None:
        while not stop.is_set():
            batch = [raw(event) for event in usage.batch()]
            while True:
                with suppress(StorageUnavailable):
                    record_usage(database, batch, config=config, known_accounts=known, worker="test")
                    break

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Process:
    """The operator process, in one life after the other."""

    def __init__(self, plan: Plan) -> None:
        self._file = Path(plan.folder) / "plan.json"
        self._plan = plan
        plan.write(self._file)
        self.start()

    def start(self) -> None:
        """Begins a life."""
        self.process = subprocess.Popen([sys.executable, "-m", "lab.torture.operator", str(self._file)])

    def kill(self) -> None:
        """As the machine would, and another life."""
        self.process.kill()
        self.process.wait()
        self.start()

    def end(self) -> int:
        """Asked to, it ends by itself."""
        self.process.terminate()
        return self.process.wait(timeout=60)

    def grown(self, lines: int) -> None:
        """Returns once the journal has so many more lines."""
        until, deadline = len(list(read_lines(self._plan.journal))) + lines, time.monotonic() + PATIENCE
        while len(list(read_lines(self._plan.journal))) < until:
            assert time.monotonic() < deadline, "the operator does nothing any more"
            assert self.process.poll() is None, "the operator has ended"
            time.sleep(0.05)


@pytest.mark.timeout(300)
def test_a_killed_operator_does_everything_once(plan: Plan, database: Database, config: Configuration, database_urls: DatabaseUrls) -> None:
    """Killed, its sessions ended, beside usage: what it did is in the books as its journal says, and nothing else."""
    first_books(plan)
    operator, deadline, times = Process(plan), time.monotonic() + PATIENCE, 0
    with recording(plan, database, config):
        while time.monotonic() < deadline:
            operator.grown(GROWN)
            if times >= 6 and exercised(list(read_lines(plan.journal))).keys() >= EXPECTED | _HARD:
                break
            times += 1
            if times % 3 == 0:
                operator.kill()
            else:
                with suppress(StorageUnavailable), database.transaction() as connection:
                    connection.execute(_VICTIMS)
        assert operator.end() == 0
    last_books(plan)
    journal = list(read_lines(plan.journal))
    assert list(judge(journal, tables_of(database_urls.owner, config))) == []
    assert exercised(journal).keys() >= EXPECTED | _HARD


class Deaf(Database):
    """As `Database`; but of some transactions nobody hears whether they were committed: half of these were, half were not."""

    chance: Random

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """See `Database.transaction`."""
        fate = self.chance.randrange(12)
        with super().transaction() as connection:
            yield connection
            if fate == 0:
                raise StorageUnavailable("it was rolled back, and nobody heard of it")
        if fate == 1:
            raise StorageUnavailable("it was committed, and nobody heard of it")


@pytest.mark.timeout(300)
def test_what_nobody_answered_is_done_once(plan: Plan, database: Database, config: Configuration, database_urls: DatabaseUrls) -> None:
    """Of every kind of operation some answers are lost, before and after the commit: asked for again they are done once."""
    first_books(plan)
    usage, known = Usage(plan, Random(plan.seed)), KnownAccounts()
    with OperatorJournal(plan.journal) as journal:
        world = open_world(plan, journal)
        world.database.dispose()
        deaf = world.database = Deaf(plan.database_url, world.config)
        deaf.chance = Random(plan.seed)
        operator = Operator(world)
        for _ in range(STEPS):
            record_usage(database, [raw(event) for event in usage.batch()], config=config, known_accounts=known, worker="test")
            with suppress(StorageUnavailable):
                operator.step()
        deaf.dispose()
        again = {one.kind for one in journal.intents.values() if {answer["told"] for answer in one.answers} == {"maybe", "done"}}
    last_books(plan)
    assert list(judge(list(read_lines(plan.journal)), tables_of(database_urls.owner, config))) == []
    assert len(again) > len(KINDS) / 3, again
