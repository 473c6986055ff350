"""The producers' client for Python, over both brokers and with a real worker: batched, confirmed, never silently dropped."""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from tollbook_client import AnswerError, AsyncClient, Client, ContractError, NoAnswer, Outcome

from lab.process import moved_clock
from lab.proxy import Proxy
from tests.clients.conftest import sent_events
from tests.conftest import Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import ROOT, StartWorker, both_brokers, eventually

PAGES = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("clients/python/README.md", "docs/producers.md", "docs/tutorial.md"))
EXAMPLES = [text for text in re.findall(r"^```python\n(.*?)^```$", PAGES, re.MULTILINE | re.DOTALL) if "tollbook_client" in text]
DEBITS = "SELECT event_id, amount, hold_key, producer_id, producer_seq FROM transactions WHERE reference_type = 'WORKFLOW' ORDER BY producer_seq"
Call = dict[str, Any]
CALL: Call = {"mandate_id": "acme", "user_id": "ada", "price_chf": Decimal("0.001")}


def told(client: Client, producer: Celery) -> list[Outcome]:
    """What comes back when Tollbook is asked to tell what waits."""
    producer.send_task("outcomes.publish", queue="maintenance", ignore_result=True)
    return list(client.outcomes(wait_seconds=0.5))


pytestmark = pytest.mark.usefixtures("acme")


@pytest.fixture
def undelivered() -> list[Call]:
    """What `on_error` was given."""
    return []


@pytest.fixture
def client(broker_url: str, undelivered: list[Call]) -> Iterator[Client]:
    """A client of the test's broker that is quick to send and to give up."""
    options: Call = {"batch_seconds": 0.05, "retry_seconds": 20, "on_error": lambda events, _: undelivered.extend(events), "outcomes": "service"}
    with Client(broker_url, **options) as made:
        yield made


@both_brokers
def test_what_is_recorded_is_in_the_books_once(client: Client, producer: Celery, start_worker: StartWorker, rows: Rows) -> None:
    """Events of several threads get ids and numbers without a gap, and each is debited once; a hold is captured by its event, a check sees it.

    What can't be recorded comes back on the client's own queue. A forked child asks for itself.
    """
    start_worker().ready()
    threads = [threading.Thread(target=lambda: [client.record(**CALL) for _ in range(60)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same = client.record(**CALL, event_id="mine", occurred_at="2026-01-31T12:00:00Z" if moved_clock() else None)
    assert client.flush(30)
    held = client.authorise("acme", "bob", key="call-1", amount="0.05")
    again = client.authorise("acme", "bob", key="call-1", amount="0.05")
    assert (held["allowed"], again["repeated"], client.check("acme", "bob")["held"]) == (True, True, "0.050000000")
    assert client.renew("acme", key="call-1", ttl_seconds=600)["done"]
    client.record(mandate_id="acme", user_id="bob", price_chf="0.02", hold_key="call-1")
    client.authorise("acme", "bob", key="call-2", amount="0.05")
    client.release("acme", key="call-2")
    eventually(lambda: len(rows(DEBITS)) == 242, "every event is recorded")
    debits = rows(DEBITS)
    assert [row["producer_seq"] for row in debits] == list(range(1, 243))
    assert len({row["producer_id"] for row in debits}) == 1
    assert (debits[240]["event_id"], debits[241]["hold_key"], debits[241]["amount"]) == (same, "call-1", Decimal("0.02"))
    eventually(lambda: client.check("acme", "bob")["available"] == "9.980000000", "nothing is held any more")
    refused = client.authorise("acme", "bob", amount=Decimal(1000))
    assert (refused["allowed"], refused["reason"], len(refused["key"])) == (False, "INSUFFICIENT_BALANCE", 36)
    with pytest.raises(AnswerError) as wrong:
        client.authorise("acme", "bob", key="call-1", amount="0.07")
    assert (wrong.value.kind, wrong.value.key) == ("conflict", "call-1")
    if (pid := os.fork()) == 0:
        os._exit(0 if client.check("acme", "bob")["allowed"] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert client.check("acme", "bob")["allowed"]
    parked = client.record(mandate_id="nobody", user_id="ada", price_chf="1")
    (outcome,) = eventually(lambda: told(client, producer), "the parked event is told")
    assert (outcome["event_id"], outcome["outcome"]) == (parked, "parked")


@both_brokers
def test_a_broker_that_is_away_costs_nothing(broker: Broker, undelivered: list[Call]) -> None:
    """While it can't be reached events wait and callers go on; when it is back all of them are there, once each by id."""
    with Proxy(broker.url) as proxy:
        options: Call = {"batch_seconds": 0.05, "retry_seconds": 60, "ask_attempts": 2, "on_error": lambda events, _: undelivered.extend(events)}
        with Client(proxy.url(broker.url), **options) as client:
            first = client.record(**CALL)
            assert client.flush(30)
            proxy.refuse()
            ids = [first, *(client.record(**CALL) for _ in range(250))]
            assert not client.flush(0.5)
            with pytest.raises(NoAnswer, match="can't be asked") as unanswered:
                client.authorise("acme", "ada", amount="0.05")
            assert unanswered.value.key is not None
            proxy.refuse(False)
            assert client.flush(60)
    assert undelivered == []
    assert [event["event_id"] for event in sent_events(broker)] == ids


def test_an_event_that_would_be_refused_is_the_callers_error(client: Client, broker: Broker) -> None:
    """Of many none is taken over if one is wrong, and no number is used up."""
    with pytest.raises(ContractError, match="price_chf is a float"):
        client.record_many([CALL, {**CALL, "price_chf": 0.1}])
    client.record(**CALL)
    assert client.flush(30)
    assert broker.waiting("usage") == 1


_PROGRAM = """
import multiprocessing, os, sys, threading
from tollbook_client import Client

CALL = {"mandate_id": "acme", "user_id": "ada", "price_chf": "0.001"}

def main():
    client = Client(batch_seconds=60)
    ids = [client.record(**CALL) for _ in range(5)]
    if sys.argv[1] == "dropped":
        del client
    if sys.argv[1] == "raises":
        raise SystemExit(3)
    if sys.argv[1] == "forks":
        child = os.fork()
        if child == 0:
            client.record(**CALL)
            client.close()
            os._exit(0)
        os.waitpid(child, 0)
    if sys.argv[1] == "celery":  # as a worker's pool ends its processes
        from celery import signals
        child = os.fork()
        if child == 0:
            client.record(**CALL)
            signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
            os._exit(0)
        os.waitpid(child, 0)
    if sys.argv[1] == "multiprocessing":
        child = multiprocessing.get_context("fork").Process(target=client.record, kwargs=CALL)
        child.start()
        child.join()
    if sys.argv[1] == "thread":
        threading.Thread(target=lambda: [client.record(**CALL) for _ in range(1)]).start()

main()
"""


@pytest.mark.parametrize(
    ("way", "sent"), [("ends", 5), ("raises", 5), ("dropped", 5), ("thread", 6), ("forks", 6), ("celery", 6), ("multiprocessing", 6)]
)
def test_the_end_of_a_program_sends_what_waits(way: str, sent: int, broker: Broker) -> None:
    """A program that just ends has sent everything; a forked child sends its own events alone, under a life of its own."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _PROGRAM, way]
    ended = subprocess.run(command, env={**os.environ, **moved_clock(), "CELERY_BROKER_URL": broker.url}, timeout=60, check=False)
    assert ended.returncode == (3 if way == "raises" else 0)
    events = sent_events(broker)
    assert len({event["event_id"] for event in events}) == len(events) == sent
    numbers = sorted((event["producer_id"], event["producer_seq"]) for event in events)
    assert len(set(numbers)) == sent
    assert len({producer for producer, _ in numbers}) == (2 if way in ("forks", "celery", "multiprocessing") else 1)


_LATE = """
import atexit

def late():
    try:
        print(client.record(mandate_id="acme", user_id="ada", price_chf="0.001"))
    except Closed as closed:
        print(closed)

atexit.register(late)
from tollbook_client import Client, Closed

client = Client()
"""


def test_what_nobody_would_send_any_more_is_not_taken_over(broker: Broker) -> None:
    """At the exit of a program, after the client's own end, `record` says so: its event would be lost without a word."""
    environment = {**os.environ, "CELERY_BROKER_URL": broker.url}
    ended = subprocess.run([sys.executable, "-c", _LATE], env=environment, timeout=60, check=True, capture_output=True, text=True)
    assert ended.stdout == "the program ends\n"


def test_a_loop_goes_on_while_the_client_waits(broker: Broker) -> None:
    """The client for asyncio does the same without holding up the loop."""

    async def run() -> list[str]:
        async with AsyncClient(broker.url, batch_seconds=0.05) as client:
            ids = await asyncio.gather(*(client.record(**CALL) for _ in range(20)))
            assert await client.flush(30)
            return list(ids)

    assert len(set(asyncio.run(run()))) == 20
    assert broker.waiting("usage") >= 1


_STAND_IN = """
class OpenAI:
    responses = property(lambda self: self)

    def create(self, **_):
        return {"id": "r1", "object": "response", "model": "gpt-5.6", "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}}
"""


def test_the_examples_run(broker_url: str, start_worker: StartWorker, rows: Rows, tmp_path: Path) -> None:
    """Each program of the documents that uses the client, but for the outbox's, runs as it stands, and what it records is in the books, or told."""
    start_worker().ready()
    (tmp_path / "openai.py").write_text(_STAND_IN)
    programs = [text for text in EXAMPLES if "outbox" not in text]
    assert len(programs) >= 8
    for text in programs:
        environment = {**os.environ, **moved_clock(), "CELERY_BROKER_URL": broker_url}
        subprocess.run([sys.executable, "-c", text], env=environment, cwd=tmp_path, check=True, timeout=60)
    prices = [Decimal(price) for price in re.findall(r'price_chf="([0-9.]+)"', "".join(programs))]
    eventually(lambda: sorted(row["amount"] for row in rows(DEBITS)) == sorted(prices), "all of it is recorded")
    (refused,) = rows("SELECT reason, detail FROM dead_letters")
    assert (refused["reason"], "price_chf" in refused["detail"]) == ("missing_field", True)  # acme pays what its producers say


@both_brokers
def test_what_is_no_outcome_keeps_none_from_being_told(broker: Broker, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may write to the queue of outcomes can hold up nobody: what is none is told in the log, once, and the next is given."""
    assert list(client.outcomes(wait_seconds=0.1)) == []
    outcome = dict.fromkeys(Outcome.__required_keys__) | {"outcome_id": 7}
    broker.put("tollbook.outcomes.service", b"\x80\x04K\x01.", b"[]", b'{"outcome_id": 1}', json.dumps(outcome).encode())
    assert list(client.outcomes(wait_seconds=0.5)) == [outcome]
    assert len([record for record in caplog.records if "is no outcome" in record.getMessage()]) == 3
    assert list(client.outcomes(wait_seconds=0.1)) == []
