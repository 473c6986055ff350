"""Nothing but JSON is ever decoded: code in a message of any queue, of any type and encoding, never runs."""

import base64
import bz2
import gzip
import lzma
import pickle
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery

from lab.rabbitmq import amqp_message
from tests.conftest import Rows
from tests.delivery.brokers import Broker, RabbitBroker
from tests.delivery.conftest import StartWorker, both_brokers, eventually
from tests.delivery.test_faults import message
from tests.delivery.test_hostile_messages import Malice
from tests.delivery.test_worker import in_envelope
from tests.sample_events import event
from worker.intake.amqp_connection import connected, publish_confirmed

pytestmark = pytest.mark.usefixtures("acme")
_PICKLES = ("application/x-python-serialize", "application/data", "application/x-canary", "text/plain", "", "application/json")
_PACKED: dict[str, Callable[[bytes], bytes]] = {
    "application/x-gzip": zlib.compress,
    "gzip": gzip.compress,
    "application/x-bz2": bz2.compress,
    "application/x-lzma": lzma.compress,
}


def canaries(canary: Path, task: str) -> Iterator[bytes]:
    """Messages that make the file where something in them is run."""
    code = pickle.dumps([[Malice(canary)], {}, {}])
    for content_type in _PICKLES:
        for encoding in ("binary", "utf-8", "latin-1", "rot13"):
            yield in_envelope(code, task, **{"content-type": content_type, "content-encoding": encoding})
    for compression, packed in _PACKED.items():
        headers = {"task": task, "id": "1", "compression": compression}
        yield in_envelope(packed(code), headers=headers, **{"content-type": "application/x-python-serialize", "content-encoding": "binary"})
        yield in_envelope(packed(b'[[{"a": 1}], {}, {}]'), headers=headers)
    for yaml in ("!!python/object/apply:os.system [touch {0}]", "!!python/object/new:subprocess.Popen [[touch, {0}]]"):
        for content_type in ("application/x-yaml", "application/yaml", "text/yaml"):
            yield in_envelope(yaml.format(canary).encode(), task, **{"content-type": content_type})
    yield in_envelope(b"\x93\x91\xc7" + code, task, **{"content-type": "application/x-msgpack", "content-encoding": "binary"})
    typed = b'{"__type__": "pickle", "__value__": "%s"}' % base64.b64encode(code)
    yield in_envelope(b"[[%s], {}, {}]" % typed, task)
    yield in_envelope(b'[["touch %s"], {}, {}]' % bytes(canary), "os.system")


def put(broker: Broker, queue: str, *messages: bytes) -> None:
    """Puts messages of Celery into any queue, as they are."""
    if not isinstance(broker, RabbitBroker):
        broker.put(queue, *messages)
        return
    with connected(broker.url) as channel:
        publish_confirmed(channel, ((queue, amqp_message(one)) for one in messages))


@both_brokers
def test_what_is_no_json_is_never_run(
    broker: Broker, producer: Celery, start_worker: StartWorker, rows: Rows, is_drained: Callable[[], bool], tmp_path: Path
) -> None:
    """On the queue of usage it is a dead letter each, on the others it is refused; the same worker then records, and does a job."""
    canary = tmp_path / "canary"
    bad = list(canaries(canary, "usage.record"))
    put(broker, "usage", *bad, message(event()))
    for queue, task in (
        ("checks", "balance.check"),
        ("views", "view.list_settings"),
        ("movements", "movement.top_up"),
        ("maintenance", "books.housekeep"),
    ):
        put(broker, queue, *canaries(canary, task))
    broker.put("usage.json", pickle.dumps([Malice(canary)]))
    worker = start_worker().ready()
    eventually(is_drained, "all usage is settled")
    producer.send_task("books.housekeep", queue="maintenance", ignore_result=True)
    eventually(lambda: rows("SELECT FROM job_runs"), "the job behind them is done")
    letters = rows("SELECT reason, sum(attempts) AS n FROM dead_letters GROUP BY reason")
    assert sum(row["n"] for row in letters) == len(bad) + 1
    assert {row["reason"] for row in letters} <= {
        "unsupported_content",
        "malformed_message",
        "unknown_task",
        "invalid_field",
        "malformed_json",
        "unknown_field",
    }
    assert len(rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'")) == 1
    assert rows("SELECT FROM transactions WHERE reference_type = 'PAYMENT'") == []
    assert not canary.exists()
    assert worker.process.poll() is None


@both_brokers
def test_celerys_own_half_runs_nothing_either(
    broker: Broker, start_worker: StartWorker, rows: Rows, counts: Callable[[], dict[str, int]], tmp_path: Path
) -> None:
    """With `TOLLBOOK_INTAKE=celery` they come through Celery's consumer: a dead letter each, and the event among them is recorded."""
    canary = tmp_path / "canary"
    bad = list(canaries(canary, "usage.record"))[:-1]  # a task that is none is refused by Celery's half, and told in the log
    put(broker, "usage", *bad, message(event()))
    start_worker(TOLLBOOK_INTAKE="celery").ready()
    eventually(lambda: counts()["recorded"] == 1 and counts()["rejected"] >= len(bad), "all is settled")
    assert not canary.exists()
