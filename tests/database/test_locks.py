"""Advisory locks: all of them stand in one list, no two meet, and workers of the release before are still excluded."""

import re
from itertools import combinations
from pathlib import Path

import pytest
from sqlalchemy import text

from core.alerts.sql.outbox import try_hold_outbox
from core.database.database import Database
from core.database.locks import MOVED_FROM, Lock, Space, hold, try_hold
from core.dead_letters.sql.status import hold_decisions
from core.housekeeping.sql.housekeeping import ensure_partitions, move_default_month
from core.statistics.sql.statistics import hold_statistics
from tests.conftest import Rows

ROOT = Path(__file__).resolve().parents[2]
CALL = re.compile(r"pg_(?:try_)?advisory_\w*lock\w*\s*\(\s*([^()]*(?:\([^()]*\))?[^()]*)\)")
OLD_HOLD = text("SELECT pg_try_advisory_xact_lock(:key)")  # as the release before took each


def numbers() -> dict[Lock, int]:
    """The locks of one number."""
    return {lock: int(lock.key) for lock in Lock if lock.space is Space.NUMBER}


def test_one_module_takes_every_lock() -> None:
    """No other file of the program calls PostgreSQL's functions for advisory locks; those of the migrations are looked at in the database."""
    calling = {
        str(path.relative_to(ROOT))
        for package in ("core", "tasks", "worker", "cli", "lab")
        for path in sorted((ROOT / package).rglob("*.py"))
        if CALL.search(path.read_text(encoding="utf-8"))
    }
    assert calling == {"core/database/locks.py"}


def test_the_functions_of_the_database_take_a_number_of_the_list(rows: Rows) -> None:
    """Every advisory lock in the body of a function is a literal, that of making partitions."""
    bodies = rows("SELECT proname, prosrc FROM pg_proc WHERE pronamespace = CAST('public' AS regnamespace) AND prosrc LIKE '%advisory%'")
    found = {(row["proname"], argument) for row in bodies for argument in CALL.findall(row["prosrc"])}
    key = str(Lock.PARTITIONS.key)
    assert found == {("ensure_partitions", key), ("move_default_month", key)}


def test_no_two_locks_meet(rows: Rows) -> None:
    """Numbers, classes and the jobs within their class are unique, and no number is one that another lock had before."""
    spaces = {space: [lock.key for lock in Lock if lock.space is space] for space in Space}
    assert [keys for keys in spaces.values() if len(keys) != len(set(keys))] == []
    assert not set(MOVED_FROM.values()) & set(numbers().values())
    assert all(0 < number < 2**32 for number in numbers().values())  # a hashed text falls onto one of them once in 2^64
    assert all(0 < int(lock.key) < 2**31 for lock in Lock if lock.space is Space.CLASS)
    jobs = re.compile(r'^JOB = "([a-z_.]+)"$', re.MULTILINE)
    names = {name for path in sorted((ROOT / "core").rglob("*.py")) for name in jobs.findall(path.read_text(encoding="utf-8"))}
    assert len(names) >= 6
    (row,) = rows("SELECT count(DISTINCT hashtext(name)) AS hashes FROM unnest(CAST(:names AS text[])) AS name", names=sorted(names))
    assert row["hashes"] == len(names)


def test_texts_of_two_forms_differ() -> None:
    """The forms have different numbers of parts, and no part of a key holds the separator, so no two identities are one text."""
    parts = [str(lock.key).count("\x1f") for lock in Lock if lock.space is Space.HASH]
    assert len(parts) == len(set(parts)) == 2


def test_the_two_spaces_of_postgresql_are_apart(database: Database) -> None:
    """A key of two ints and the bigint of the same bits are two locks, so a class may have a number that a lock has too."""
    pair = text("SELECT pg_try_advisory_xact_lock(CAST(:high AS int), CAST(:low AS int))")
    with database.transaction() as one, database.transaction() as other:
        for lock, number in numbers().items():
            assert one.execute(pair, {"high": number >> 32, "low": number % 2**31}).scalar_one()
            assert try_hold(other, lock)


def test_locks_of_one_number_exclude_themselves_alone(database: Database) -> None:
    """Each one, taken twice, is refused the second time; any two beside each other are free, those that shared a number before too."""
    for lock in numbers():
        with database.transaction() as one, database.transaction() as other:
            assert (try_hold(one, lock), try_hold(other, lock)) == (True, False)
    for first, second in combinations(numbers(), 2):
        with database.transaction() as one, database.transaction() as other:
            assert (try_hold(one, first), try_hold(other, second)) == (True, True)


@pytest.mark.parametrize("lock", MOVED_FROM)
def test_a_worker_of_the_release_before_is_excluded(lock: Lock, database: Database) -> None:
    """It holds the old number alone: whoever holds the lock by now keeps it out, and is kept out by it, also by its present holder's kin."""
    with database.transaction() as new, database.transaction() as old:
        hold(new, lock)
        assert not old.execute(OLD_HOLD, {"key": MOVED_FROM[lock]}).scalar_one()
    with database.transaction() as old, database.transaction() as new:
        assert old.execute(OLD_HOLD, {"key": MOVED_FROM[lock]}).scalar_one()
        assert not try_hold(new, lock)


def test_a_rebuild_and_a_slow_broker_stop_nobody_else(database: Database) -> None:
    """Beside whoever counts usage letters are decided, and beside whoever publishes alerts partitions are made; nobody waits."""
    with database.transaction() as counting, database.transaction() as deciding:
        hold_statistics(counting)
        deciding.execute(text("SET LOCAL lock_timeout = '1ms'"))
        hold_decisions(deciding)
    with database.transaction() as publishing, database.transaction() as keeping:
        assert try_hold_outbox(publishing)
        keeping.execute(text("SET LOCAL lock_timeout = '1ms'"))
        assert move_default_month(keeping) is None
        assert ensure_partitions(keeping, 3) == []
