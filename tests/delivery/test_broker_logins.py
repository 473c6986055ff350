"""The broker's logins of deploy/users.acl: with the worker's everything works, with the producer's sending and asking alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery

from lab.process import temporary_dir
from lab.valkey import ValkeyServer
from tests.conftest import Rows
from tests.delivery.brokers import acl_words
from tests.delivery.conftest import ROOT, Program, StartWorker, eventually
from tests.delivery.test_checks import CHECK, answered
from tests.sample_events import event

pytestmark = pytest.mark.usefixtures("acme")

ROOT_ASKS = {"actor": {"role": "root"}}
USERS = {line.split()[1]: line for line in (ROOT / "deploy/users.acl").read_text(encoding="utf-8").splitlines()}


def make_user(operator: redis.Redis, name: str, *changes: str) -> None:
    """Makes a user of the file, with the password `password` and these changes."""
    words = [word if word != name.upper() else ">password" for word in acl_words(USERS[name])[1:]]
    operator.execute_command("ACL SETUSER", *words, *changes)  # type: ignore[no-untyped-call]


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A broker with the users of the file."""
    with temporary_dir() as folder:
        server = ValkeyServer(folder / "valkey", appendfsync="no")
        server.start()
        with redis.Redis.from_url(server.url()) as operator:
            for name in USERS:
                make_user(operator, name)
            operator.execute_command("ACL SAVE")
        yield server
        server.stop()


def url_of(server: ValkeyServer, name: str) -> str:
    """The broker's URL with a login."""
    return f"redis://{name}:password@127.0.0.1:{server.port}/0"


def test_with_the_workers_login_everything_works_also_after_a_restart(
    valkey: ValkeyServer, start_worker: StartWorker, rows: Rows, environment: dict[str, str], tmp_path: Path
) -> None:
    """Usage, checks, views, movements, jobs, takeovers, inspection and what is foreign work, nothing is denied, and a restart of the broker
    forgets no login.
    """
    valkey.stop()
    valkey.start()
    url = url_of(valkey, "worker")
    with redis.Redis.from_url(valkey.url()) as operator, Celery("asking", broker=valkey.url(), set_as_current=False) as asking:
        operator.execute_command("ACL LOG", "RESET")
        operator.lpush("prod:usage", "x")
        asking.send_task("usage.record", kwargs={"event": event()}, queue="usage")
        first = start_worker(name="first", CELERY_BROKER_URL=url).ready()
        eventually(lambda: len(rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'")) == 1, "usage is recorded")
        questions: list[tuple[str, str, dict[str, Any]]] = [
            ("balance.check", "checks", CHECK),
            ("view.list_settings", "views", ROOT_ASKS),
        ]
        top_up = {"mandate_id": "acme", "account_id": 1, "amount": "5", "key": "k", "by": "olga"}
        for task, queue, fields in [*questions, ("movement.top_up", "movements", top_up)]:
            reply_to = f"tollbook.reply.{uuid4()}"
            asking.send_task(task, kwargs=fields, queue=queue, reply_to=reply_to, expires=60, ignore_result=True)
            assert "result" in answered(operator, reply_to), task
        asking.send_task("books.housekeep", queue="maintenance")
        eventually(lambda: rows("SELECT FROM job_runs"), "a job is done")
        inspected: Any = asking.control.inspect(timeout=5)._request("intake")
        assert inspected, (operator.execute_command("ACL LOG"), first.output()[-2500:])
        assert inspected["first@test"]["state"]
        eventually(lambda: "prod:usage" in first.output(), "what is foreign is told")
        first.kill()
        asking.send_task("usage.record", kwargs={"event": event()}, queue="usage")
        chatty = Program(
            tmp_path / "chatty.log", environment | {"CELERY_BROKER_URL": url}, "celery", "-A", "worker.app", "worker", "-n", "chatty@test"
        )
        second = start_worker(name="second", CELERY_BROKER_URL=url).ready()
        eventually(lambda: chatty.says(" ready."), "one with mingle and gossip, too, is ready")
        with redis.Redis.from_url(url) as watching, watching.pubsub() as events:
            events.psubscribe("/0.celeryev/*")  # as Flower does
            eventually(lambda: (events.get_message(timeout=1) or {}).get("type") == "pmessage", "events are seen")
        assert (second.terminate(), chatty.terminate()) == (0, 0)
        denied: Any = operator.execute_command("ACL LOG")
        assert denied == []


def test_with_the_producers_login_nothing_but_sending_and_asking_works(valkey: ValkeyServer, start_worker: StartWorker, rows: Rows) -> None:
    """A stock producer sends usage and asks a check; no other list, command or channel is open to it."""
    start_worker(CELERY_BROKER_URL=url_of(valkey, "worker")).ready()
    url = url_of(valkey, "producer")
    with Celery("producer", broker=url, set_as_current=False) as producer, redis.Redis.from_url(url) as client:
        producer.send_task("usage.record", kwargs={"event": event()}, queue="usage", ignore_result=True, retry=False)
        client.lpush("usage.json", json.dumps(event()))
        eventually(lambda: len(rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'")) == 2, "both are recorded")
        producer.send_task("balance.check", kwargs=CHECK, queue="checks", reply_to="tollbook.reply.x", ignore_result=True, retry=False)
        answer: Any = client.blpop(["tollbook.reply.x"], timeout=4)
        assert json.loads(answer[1])["result"]["allowed"]
        for command in (
            ("LPUSH", "movements", "x"),
            ("SADD", "checks\x06\x169", "x"),
            ("RPOP", "usage"),
            ("PUBLISH", "/0.celery.pidbox", "x"),
            ("KEYS", "*"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("-brpop", "the command BRPOP"),
        ("-hincrby", "the command HINCRBY"),
        ("-zrangebyscore", "the command ZRANGEBYSCORE"),
        ("-info", "the command INFO"),
        ("-psubscribe", "the channel '/0.celery.pidbox'"),
        ("resetchannels", "the channel '/0.celery.pidbox'"),
    ],
)
def test_a_missing_right_is_named_at_the_start(valkey: ValkeyServer, start_worker: StartWorker, change: str, named: str) -> None:
    """A worker that lacks a command or its channels ends with 78 and one line that says which, instead of connecting again and again."""
    with redis.Redis.from_url(valkey.url()) as operator:
        make_user(operator, "worker", change)
    worker = start_worker(CELERY_BROKER_URL=url_of(valkey, "worker"))
    assert worker.process.wait(60) == 78, worker.output()
    (line,) = [line for line in worker.output().splitlines() if line.startswith("tollbook: ")]
    assert "lacks a right" in line
    assert named in line


def test_a_missing_key_is_named_at_the_start(valkey: ValkeyServer, start_worker: StartWorker) -> None:
    """So does one that may not touch one of the lists."""
    with redis.Redis.from_url(valkey.url()) as operator:
        words = [word for word in acl_words(USERS["worker"])[2:] if word not in ("~checks??[0-9]", "(+llen +lindex +eval ~*)", "WORKER")]
        operator.execute_command("ACL SETUSER", "worker", "reset", ">password", *words)
    worker = start_worker(CELERY_BROKER_URL=url_of(valkey, "worker"))
    assert worker.process.wait(60) == 78
    assert r"lacks a right: the key 'checks\x06\x161'" in worker.output()
