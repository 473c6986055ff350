"""Questions and their answers: each question gets its own answer, whatever comes late, and an end to waiting."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty
from typing import Any, NamedTuple

import pytest
import redis
from kombu import Connection, Producer, Queue
from tollbook_client import AnswerError, Client, ContractError, NoAnswer
from tollbook_client.asking import Asking, Line
from tollbook_client.envelope import task_message

from tests.delivery.brokers import Broker, RabbitBroker
from tests.delivery.conftest import both_brokers, eventually
from worker.intake.amqp_connection import QUORUM


class Question(NamedTuple):
    """What a worker sees of one."""

    reply_to: str
    correlation_id: str
    fields: dict[str, Any]


def taken(broker: Broker) -> Question | None:
    """The next question, off the queue."""
    checks: Any = Queue("checks", queue_arguments=QUORUM)
    with Connection(broker.url) as connection, connection.SimpleQueue(checks) as queue:
        try:
            message = queue.get_nowait()
        except Empty:
            return None
        message.ack()
        return Question(message.properties["reply_to"], message.properties["correlation_id"], message.decode()[1])


def answer(broker: Broker, question: Question, result: object) -> None:
    """Answers as a worker does."""
    put_answer(broker, question, json.dumps({"result": result}))


def put_answer(broker: Broker, question: Question, body: str | bytes) -> None:
    """Puts this where the answer is waited for."""
    if isinstance(broker, RabbitBroker):
        with Connection(broker.url) as connection:
            Producer(connection).publish(body, routing_key=question.reply_to, correlation_id=question.correlation_id)
    else:
        with redis.Redis.from_url(broker.url) as client:
            client.lpush(question.reply_to, body)


@pytest.fixture
def line(broker: Broker) -> Iterator[Line]:
    """A line to the test's broker."""
    opened = Line(broker.url, tls=None, timeout_seconds=60)
    yield opened
    opened.close()


@both_brokers
def test_a_late_answer_is_not_taken_for_another(broker: Broker, line: Line) -> None:
    """Over the same connection: what comes after its asker has given up is nobody's."""
    assert line.asked(task_message("checks", "balance.check", b"{}"), 0.01) is None
    late = eventually(lambda: taken(broker), "the first question is there")
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(line.asked, task_message("checks", "balance.check", b"{}"), 60)
        question = eventually(lambda: taken(broker), "the second question is there")
        answer(broker, late, "late")
        answer(broker, question, "right")
        assert asked.result(60) == {"result": "right"}


@both_brokers
def test_a_question_is_asked_again_and_connections_are_kept(broker: Broker) -> None:
    """Under the same key, until there is an answer; the next one goes over the connection that is open."""
    opened: list[Line] = []

    def open_line(seconds: float) -> Line:
        opened.append(Line(broker.url, tls=None, timeout_seconds=seconds))
        return opened[-1]

    asking = Asking(open_line, seconds=1, attempts=60)
    with ThreadPoolExecutor(1) as threads:
        for n in range(2):
            asked = threads.submit(asking.ask, "hold.authorise", {"key": f"k{n}", "amount": None})
            first = eventually(lambda: taken(broker), "it is asked")
            again = eventually(lambda: taken(broker), "and again")
            assert first.fields == again.fields
            answer(broker, again, {"n": n})
            assert asked.result(60) == {"n": n}
    asking.close()
    assert len(opened) == 1


def test_nobody_waits_for_ever() -> None:
    """A broker that isn't there is no answer; what can't be asked exactly is the caller's error."""
    client = Client("redis://127.0.0.1:1/0", ask_attempts=2)
    with pytest.raises(NoAnswer, match="can't be asked") as unanswered:
        client.authorise("acme", "ada", key="k", amount="0.05")
    assert unanswered.value.key == "k"
    with pytest.raises(ContractError, match="amount is a float"):
        client.authorise("acme", "ada", amount=0.05)  # type: ignore[arg-type]
    client.close()


@both_brokers
def test_what_is_no_answer_is_an_error_that_says_so(broker: Broker) -> None:
    """Somebody who may write to the list of answers makes no exception that a caller doesn't know."""
    asking = Asking(lambda seconds: Line(broker.url, tls=None, timeout_seconds=seconds), seconds=20, attempts=1)
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(asking.ask, "balance.check", {"mandate_id": "acme"})
        question = eventually(lambda: taken(broker), "it is asked")
        put_answer(broker, question, b"\x80\x04K\x01.")
        with pytest.raises(AnswerError, match="is no answer"):
            asked.result(20)
    asking.close()
