"""Requests with an answer on RabbitMQ: an exclusive queue of the caller's own, and a login that reaches its queues alone."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from amqp.exceptions import AccessRefused
from celery import Celery, signature
from kombu import Connection, Exchange, Queue

from tests.conftest import Rows
from tests.delivery.brokers import RabbitBroker
from tests.delivery.conftest import StartWorker
from tests.delivery.test_checks import CHECK, DOCUMENT, TOP_UP

pytestmark = [pytest.mark.parametrize("broker_kind", ["rabbitmq"]), pytest.mark.usefixtures("acme")]


def ask(app: Celery, task: str, fields: Mapping[str, object], **options: Any) -> Any:
    """Sends a request with a queue of its own for the answer, and waits for that."""

    def send(_connection: Any, reply_to: str) -> None:
        app.send_task(task, kwargs=dict(fields), reply_to=reply_to, expires=60, ignore_result=True, retry=False, **options)

    return _answer_to(app, send)


def ask_raw(app: Celery, body: str, headers: Mapping[str, object]) -> Any:
    """As `ask`, on `checks` with this body and these headers alone."""

    def send(connection: Any, reply_to: str) -> None:
        properties = {"content_type": "application/json", "content_encoding": "utf-8", "headers": dict(headers), "reply_to": reply_to}
        connection.Producer().publish(body, exchange="", routing_key="checks", **properties)

    return _answer_to(app, send)


def _answer_to(app: Celery, send: Callable[[Any, str], None]) -> Any:
    reply_to = f"tollbook.reply.{uuid4()}"
    answers: list[Any] = []
    queue = Queue(reply_to, Exchange(""), routing_key=reply_to, exclusive=True, auto_delete=True, durable=False)
    with app.connection_for_write() as connection, connection.Consumer([queue], no_ack=True, callbacks=[lambda body, _: answers.append(body)]):
        send(connection, reply_to)
        while not answers:
            connection.drain_events(timeout=30)
    return answers[0]


def test_a_request_is_answered_on_the_callers_own_queue(producer: Celery, start_worker: StartWorker, rows: Rows) -> None:
    """A check with an exact amount and a wrong movement are answered; a movement on `checks`, also a linked one, is not made."""
    start_worker().ready()
    allowed = ask(producer, "balance.check", {**CHECK, "estimated_cost": 0.1}, queue="checks")["result"]
    assert (allowed["allowed"], allowed["required_amount"]) == (True, "0.100000000")
    assert ask(producer, "movement.top_up", TOP_UP, queue="checks")["error"]["kind"] == "refused"
    assert ask(producer, "movement.top_up", {**TOP_UP, "amount": "0"}, queue="movements")["error"]["kind"] == "refused"
    forged = signature("movement.top_up", kwargs=TOP_UP, queue="movements", immutable=True)
    ask(producer, "balance.check", CHECK, queue="checks", link=forged)
    assert ask(producer, "settings.get_or_create", {"mandate_id": "acme", "by": "olga"}, queue="movements")["result"]["version"] == 1
    assert rows("SELECT DISTINCT reference_type FROM transactions") == [{"reference_type": "SYSTEM"}]


@pytest.fixture
def restricted(rabbit: RabbitBroker) -> Iterator[Celery]:
    """A producer with the login that the document gives it."""
    add_user, set_permissions = (shlex.split(line)[1:] for line in re.findall(r"^rabbitmqctl .*$", DOCUMENT, re.MULTILINE))
    rabbit.server.control(*add_user)
    rabbit.server.control(*set_permissions)
    url = urlsplit(rabbit.url)
    with Celery("restricted", broker=url._replace(netloc=f"producer:password@{url.hostname}:{url.port}").geturl(), set_as_current=False) as app:
        app.conf.broker_transport_options = {"confirm_publish": True}
        yield app
    rabbit.server.control("delete_user", "producer")


def test_a_producers_login_reaches_its_queues_alone(restricted: Celery, rabbit: RabbitBroker, start_worker: StartWorker) -> None:
    """By an exchange of the queue's name a stock producer gets its checks answered, and neither there nor past it a movement made."""
    start_worker().ready()
    with Connection(rabbit.url) as connection:
        channel: Any = connection.default_channel
        channel.exchange_declare(exchange="checks", type="direct", durable=True, auto_delete=False)
        channel.queue_bind(queue="checks", exchange="checks", routing_key="checks")
    to_checks = {"exchange": "checks", "routing_key": "checks", "declare": []}
    assert ask(restricted, "balance.check", CHECK, **to_checks)["result"]["allowed"]
    assert ask(restricted, "movement.top_up", TOP_UP, **to_checks)["error"]["kind"] == "refused"
    for exchange in ("movements", ""):
        with pytest.raises(AccessRefused):
            ask(restricted, "movement.top_up", TOP_UP, exchange=exchange, routing_key="movements", declare=[])


def test_a_producers_own_exchange_opens_nothing_more(restricted: Celery, start_worker: StartWorker) -> None:
    """What a producer sends to `checks` through an exchange of its own making is what producers may ask: it reads no books."""
    start_worker().ready()
    name = f"tollbook.reply.{uuid4()}"
    with restricted.connection_for_write() as connection:
        channel: Any = connection.default_channel
        channel.exchange_declare(exchange=name, type="fanout", durable=False, auto_delete=True)
        channel.queue_bind(queue="checks", exchange=name, routing_key="views")
    for routing_key in ("views", name):
        past = {"exchange": name, "routing_key": routing_key, "declare": []}
        assert ask(restricted, "balance.check", CHECK, **past)["result"]["allowed"]
        assert ask(restricted, "view.mandate_balances", {"actor": {"role": "root"}}, **past)["error"]["kind"] == "refused"
        assert ask(restricted, "movement.top_up", TOP_UP, **past)["error"]["kind"] == "refused"
