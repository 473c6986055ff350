"""Holds that are asked for at the same time never keep more than there is, whoever is killed meanwhile."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel, HoldState
from core.config import Configuration
from core.database.database import Database
from core.errors import Conflict, StorageUnavailable
from core.holds.authorise import authorise, authorise_all
from core.holds.together import Together
from core.ledger.opening import KnownAccounts
from core.ledger.sql.accounts import lock_accounts
from tests.books.threads import at_once
from tests.conftest import DatabaseUrls, IsolatedConfiguration, Record, Rows
from tests.holds.asking import Holds, broken, question
from tests.holds.scene import NOON
from tests.sample_events import event
from tests.scene import Breaches, PutAccount, PutSettings

POOL = BillingModel.PREPAY_MANDATE


@pytest.fixture
def holds(database: Database, config: Configuration) -> Holds:
    """What is asked of holds."""
    return Holds(database, config)


@pytest.fixture
def pool(put_settings: PutSettings, put_account: PutAccount) -> int:
    """The pool of acme, with CHF 1; its users have accounts."""
    put_settings("acme", POOL, users=["ada", "bob"])
    put_account("ada")
    put_account("bob")
    return put_account(None, "1")


def test_threads_together_are_granted_what_there_is(holds: Holds, pool: int, rows: Rows, breaches: Breaches) -> None:
    """24 ask for 0.07 of 1 at the same moment, each in a transaction of its own: 14 get it, which is 0.98."""
    answers = at_once(*[partial(holds.authorise, f"k{n}", "0.07") for n in range(24)])
    assert sum(answer.allowed for answer in answers) == 14
    assert [f"{row['held']:.2f}" for row in rows("SELECT held FROM accounts WHERE user_id IS NULL")] == ["0.98"]
    assert [row["n"] for row in rows("SELECT count(*) AS n FROM holds")] == [14]
    assert broken(breaches) == []


def _ask_from_a_process(url: str, name: str, n: int, barrier: Any, allowed: Any) -> None:
    """Asks for 0.03 by `n` threads that share their transactions, once every process is there."""
    config = IsolatedConfiguration(database_url=url)
    database, known = Database(url, config), KnownAccounts()
    together = Together(lambda questions: authorise_all(database, ROOT, questions, config=config, known_accounts=known))

    def one(number: int) -> bool:
        return together.ask(question(f"{name}-{number}", "0.03")).allowed

    with ThreadPoolExecutor(n) as threads:
        barrier.wait(60)
        allowed.put(sum(threads.map(one, range(n))))
    database.dispose()


@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.long)])
def test_processes_together_are_granted_what_there_is(database_urls: DatabaseUrls, pool: int, rows: Rows, breaches: Breaches, processes: int) -> None:
    """200 callers in several processes ask for 0.03 of 1: exactly 33 get it."""
    context = multiprocessing.get_context("spawn")
    barrier, allowed = context.Barrier(processes), context.Queue()
    ask = [
        context.Process(target=_ask_from_a_process, args=(database_urls.worker, f"p{p}", 200 // processes, barrier, allowed))
        for p in range(processes)
    ]
    for one in ask:
        one.start()
    try:
        assert sum(allowed.get(timeout=120) for _ in ask) == 33
    finally:
        for one in ask:
            one.join(30)
            one.kill()
    assert [f"{row['held']:.2f}" for row in rows("SELECT held FROM accounts WHERE user_id IS NULL")] == ["0.99"]
    assert broken(breaches) == []


def test_who_is_killed_inside_the_transaction_keeps_nothing(
    holds: Holds, connect: Callable[[], Database], config: Configuration, pool: int, rows: Rows, breaches: Breaches
) -> None:
    """While others ask, sessions are ended at whatever statement they are: who was granted it has it, once, and no more than there is is held."""
    ended = threading.Event()

    def end_sessions() -> None:
        while not ended.wait(0.004):
            rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE '%_app' AND state <> 'idle' AND random() < 0.3")

    def ask(name: int) -> list[str]:
        database, granted = connect(), []
        for n in range(25):
            asked = question(key := f"k{name}-{n}", "0.03")
            for _ in range(200):
                try:
                    if authorise(database, ROOT, asked, config=config).allowed:
                        granted.append(key)
                    break
                except StorageUnavailable:
                    continue
        return granted

    killer = threading.Thread(target=end_sessions)
    killer.start()
    try:
        granted = [key for keys in at_once(*[partial(ask, n) for n in range(4)]) for key in keys]
    finally:
        ended.set()
        killer.join()
    assert sorted(granted) == sorted(row["hold_key"] for row in rows("SELECT hold_key FROM holds"))
    assert len(granted) == 33
    assert [f"{row['held']:.2f}" for row in rows("SELECT held FROM accounts WHERE user_id IS NULL")] == ["0.99"]
    assert broken(breaches) == []


def test_two_of_one_key_at_once_are_one(holds: Holds, pool: int, rows: Rows) -> None:
    """Both are allowed, by one hold; of two questions under one key one is a conflict."""
    for round_ in range(10):
        answers = at_once(*[partial(holds.authorise, f"k{round_}", "0.01") for _ in range(4)])
        assert [answer.allowed for answer in answers] == [True] * 4
        assert sorted(answer.repeated for answer in answers) == [False, True, True, True]

    def outcome(amount: str) -> str:
        try:
            holds.authorise("other", amount)
        except Conflict:
            return "conflict"
        return "allowed"

    assert sorted(at_once(partial(outcome, "0.01"), partial(outcome, "0.02"))) == ["allowed", "conflict"]
    assert len(rows("SELECT * FROM holds")) == 11


def test_a_key_whose_first_asker_is_refused_is_the_next_ones(holds: Holds, pool: int, rows: Rows) -> None:
    """Who waits for the first one's answer is judged by itself: the refusal took its row back."""

    def too_much(key: str) -> str:
        try:
            return str(holds.authorise(key, "2").reason)
        except Conflict:
            return "conflict"

    def nothing(key: str) -> str:
        return str(holds.authorise(key, "0").allowed)

    for n in range(10):
        refused, allowed = at_once(partial(too_much, f"k{n}"), partial(nothing, f"k{n}"))
        assert refused in ("INSUFFICIENT_BALANCE", "conflict")
        assert allowed == "True"
    assert [row["amount"] for row in rows("SELECT DISTINCT amount FROM holds")] == [0]


@pytest.mark.parametrize("other", ["release", "renew", "capture"])
def test_the_sweep_and_whoever_else_settles_a_hold_settle_it_once(
    holds: Holds, pool: int, rows: Rows, record: Record, breaches: Breaches, other: str
) -> None:
    """Both look at the same moments, around its end; afterwards nothing is held, and its parts are its amount."""
    (now,) = (row["now"] for row in rows("SELECT clock_timestamp() AS now"))
    for n in range(15):
        at = now + timedelta(hours=n)
        holds.authorise(f"k{n}", "0.5", at=at, ttl_seconds=60)
        over = at + timedelta(seconds=60)
        before = over - timedelta(microseconds=1)
        others: dict[str, Callable[[], Any]] = {
            "release": partial(holds.release, f"k{n}", at=before),
            "renew": partial(holds.renew, f"k{n}", 120, at=before),
            "capture": partial(record, event(hold_key=f"k{n}", price_chf="0.01")),
        }
        at_once(others[other], partial(holds.expire, at=over), partial(holds.expire, at=over))
        holds.expire(at=over + timedelta(minutes=10))
        assert broken(breaches) == []
        assert [row["held"] for row in rows("SELECT held FROM accounts WHERE user_id IS NULL")] == [0]
    states = {row["state"] for row in rows("SELECT state FROM holds")}
    assert states <= {"RELEASED", "EXPIRED", "CAPTURED"}


def test_the_sweep_waits_for_nobody_who_has_a_hold(holds: Holds, connect: Callable[[], Database], pool: int, rows: Rows) -> None:
    """What somebody else has locked is theirs; the rest is settled."""
    holds.authorise("a", "0.1", at=NOON)
    holds.authorise("b", "0.1", at=NOON)
    later = NOON + timedelta(hours=1)
    with connect().transaction() as connection:
        connection.exec_driver_sql("SELECT FROM holds WHERE hold_key = 'a' FOR NO KEY UPDATE")
        assert holds.expire(at=later) == 1
    assert {row["hold_key"]: row["state"] for row in rows("SELECT * FROM holds")} == {"a": "OPEN", "b": "EXPIRED"}


def test_a_hold_that_ended_while_its_account_was_locked_allows_nothing(holds: Holds, connect: Callable[[], Database], pool: int) -> None:
    """It is told as expired, and what it keeps is not held in the answer of anybody else."""
    with ThreadPoolExecutor(1) as threads, connect().transaction() as connection:
        lock_accounts(connection, [pool])
        asked = threads.submit(holds.authorise, "a", "1", ttl_seconds=1)
        connection.exec_driver_sql("SELECT pg_sleep(1.2)")
        connection.commit()
        answer = asked.result(30)
    assert (answer.allowed, answer.state, answer.reason) == (False, HoldState.EXPIRED, None)
    assert holds.authorise("b", "1").allowed
