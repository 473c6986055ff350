"""The doors that answer, without a worker: what they return, where the answer goes, what is counted."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from prometheus_client import REGISTRY

import tasks.balance
import tasks.movements
import tasks.settings
from core.config import Configuration
from core.database.database import Database
from core.errors import StorageUnavailable
from lab.process import free_port
from tasks.answer import ANSWER_CHARACTERS_MAX, send_answer
from tests.scene import PutAccount, PutMandate, PutSettings

MODULES: tuple[Any, ...] = (tasks.balance, tasks.movements, tasks.settings)
CHECK = {"mandate_id": "acme", "user_id": "ada"}


@pytest.fixture(autouse=True)
def on_the_tests_database(database: Database, config: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks work on the test's database."""
    for module in MODULES:
        monkeypatch.setattr(module, "database", lambda: database)
        monkeypatch.setattr(module, "configuration", lambda: config, raising=False)


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app that knows the shared tasks, on a broker in this process's memory."""
    with Celery("test", broker="memory://", set_as_current=False) as app:
        app.conf.task_eager_propagates = True
        app.finalize()
        yield app


def counted(name: str, **labels: str) -> float:
    """What Prometheus would read."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_apply_answers_in_this_process(app: Celery, put_mandate: PutMandate) -> None:
    """`apply()` returns the answer, a result or an error; both are counted."""
    put_mandate(users=["ada"])
    before = counted("tollbook_requests_total", task="balance.check", answer="result"), counted("tollbook_checks_total", answer="allowed")
    answer = app.tasks["balance.check"].apply(kwargs=CHECK).get()
    assert answer["result"].allowed
    after = counted("tollbook_requests_total", task="balance.check", answer="result"), counted("tollbook_checks_total", answer="allowed")
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1]
    wrong = app.tasks["balance.check"].apply(kwargs={**CHECK, "estimated_cost": 0.5}).get()
    assert wrong == {"error": {"kind": "refused", "message": "estimated_cost: 0.5 is a float, which is not exact: send a decimal string"}}


def test_a_check_does_not_wait_for_the_database(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants to make a call is told at once that the books can't be asked."""

    def away(*_: object, **__: object) -> None:
        raise StorageUnavailable("the database is away")

    monkeypatch.setattr(tasks.balance, "check_balance", away)
    assert app.tasks["balance.check"].apply(kwargs=CHECK).get() == {"error": {"kind": "unavailable", "message": "the database is away"}}


def test_a_movement_is_answered_with_its_entry(app: Celery, put_settings: PutSettings, put_account: PutAccount) -> None:
    """The result names the entry; one that breaks a rule is answered with the field, and one on no account as not found."""
    put_settings()
    account = put_account("ada")
    wanted = {"mandate_id": "acme", "account_id": account, "amount": "5", "key": "k", "by": "olga"}
    top_up = app.tasks["movement.top_up"]
    assert top_up.apply(kwargs=wanted).get()["result"].account_id == account
    assert top_up.apply(kwargs={**wanted, "amount": "0"}).get()["error"] == {"kind": "refused", "message": "amount: '0' is not above 0"}
    assert top_up.apply(kwargs={**wanted, "account_id": 4711, "key": "l"}).get()["error"]["kind"] == "not_found"


def test_every_movement_has_a_door(app: Celery, put_settings: PutSettings, put_account: PutAccount) -> None:
    """Adjusting, refunding, disabling, limiting and switching are answered with what they came to."""
    put_settings(users=["ada"])
    ada, pool, who = put_account("ada"), put_account(), {"mandate_id": "acme", "by": "olga"}

    def done(task: str, **fields: object) -> Any:
        return app.tasks[f"movement.{task}"].apply(kwargs={**who, "key": "k", **fields}).get()["result"]

    entry = done("adjust", account_id=ada, amount="5", reason="a gift")
    assert entry.balance == 5
    assert done("refund", transaction_id=entry.transaction_id, amount="2").refundable == 3
    assert done("set_account_enabled", account_id=ada, enabled=False).changed
    assert done("set_credit_limit", account_id=pool, credit_limit="7").credit_limit == 7
    assert done("switch_billing_model", billing_model="PREPAY_MANDATE").migrated_amount == 3


def test_an_answer_goes_to_a_queue_of_the_callers_own(app: Celery) -> None:
    """On a broker with real queues it is a message with the request's correlation id; no other queue is ever written to."""
    mine, foreign = f"tollbook.reply.{uuid4()}", "movements"
    with app.connection_for_write() as connection:
        queues = {name: connection.SimpleQueue(name) for name in (mine, foreign)}
        for name in queues:
            send_answer(app, name, "c-1", {"result": {"allowed": True}})
        answer = queues[mine].get(block=False)
        assert (answer.payload, answer.properties["correlation_id"]) == ({"result": {"allowed": True}}, "c-1")
        assert queues[foreign].qsize() == 0
        for one in queues.values():
            one.close()


def test_an_answer_that_would_fill_the_broker_is_refused(app: Celery) -> None:
    """What is too large to stand beside the usage that waits is said to be; what isn't arrives whole."""
    name = f"tollbook.reply.{uuid4()}"
    with app.connection_for_write() as connection, closing(connection.SimpleQueue(name)) as queue:
        send_answer(app, name, None, {"result": "x" * ANSWER_CHARACTERS_MAX})
        error = queue.get(block=False).payload["error"]
        assert (error["kind"], error["message"]) == (
            "refused",
            "the answer has 8,000,014 characters, more than 8,000,000: ask for fewer rows, or by command",
        )
        send_answer(app, name, None, {"result": "x" * 1_000_000})
        assert queue.get(block=False).payload == {"result": "x" * 1_000_000}


def test_an_answer_that_the_broker_does_not_take_is_counted() -> None:
    """A broker that is away costs the answer, not the task."""
    before = counted("tollbook_answers_undelivered_total")
    with Celery("away", broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False) as away:
        send_answer(away, "tollbook.reply.x", None, {"result": None})
    assert counted("tollbook_answers_undelivered_total") == before + 1
