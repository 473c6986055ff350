"""Whoever is killed between whichever two statements: what was committed is billed, once, and nothing else is."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.clients.conftest import CallersDatabase
from tests.conftest import Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import ROOT, StartWorker, both_brokers, eventually

pytestmark = pytest.mark.usefixtures("acme")

POISON = "INSERT INTO tollbook_outbox (body) VALUES ('no event')"


def killed(role: str, caller: CallersDatabase, broker: Broker, environment: dict[str, str]) -> int:
    """Has the role done, killed at each of its steps in turn, and returns how often that was."""
    command = [sys.executable, "-m", "tests.clients.killable", role, caller.url, broker.url]
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@both_brokers
def test_killed_at_every_step_nothing_is_lost_and_nothing_is_billed_twice(
    broker: Broker,
    environment: dict[str, str],
    postgres_caller: CallersDatabase,
    sqlite_caller: CallersDatabase,
    start_worker: StartWorker,
    rows: Rows,
    counts: Callable[[], dict[str, int]],
) -> None:
    """SIGKILL before and after each statement, commit and message of the caller and of the relay, on PostgreSQL and SQLite: an order
    has an event if it was committed, each event is debited once, and a row that is no event stops none of the others.
    """
    orders: set[str] = set()
    for caller in (postgres_caller, sqlite_caller):
        assert killed("produce", caller, broker, environment) >= 12
        committed = {event_id for (event_id,) in caller.rows("SELECT event_id FROM orders")}
        assert {event["event_id"] for event in caller.waiting()} == committed
        caller.rows(POISON)
        assert killed("relay", caller, broker, environment) >= 8
        assert [(body, error is not None) for body, error in caller.rows("SELECT body, error FROM tollbook_outbox")] == [("no event", True)]
        orders |= committed
    start_worker().ready()
    eventually(broker.is_drained, "all is recorded")
    assert {row["event_id"] for row in rows("SELECT event_id FROM event_keys")} == orders
    outcomes = counts()
    assert outcomes["recorded"] == len(orders) == len(rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'"))
    assert outcomes["duplicate"] > 0, "what was published and not yet deleted is published again"
    assert (outcomes["conflict"], outcomes["rejected"], outcomes["parked"]) == (0, 0, 0)
