"""Requests with an answer, against real workers and a real broker: checks, settings, movements, and what nobody may have done."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery, signature

from core.database.database import Database
from lab.process import temporary_dir
from lab.valkey import ValkeyServer
from tests.conftest import Rows
from tests.delivery.conftest import ROOT, StartWorker, eventually
from tests.delivery.test_worker import in_envelope
from tests.sample_events import event

DOCUMENT = (ROOT / "docs/checks.md").read_text(encoding="utf-8")
CHECK = {"mandate_id": "acme", "user_id": "ada"}
Ask = Callable[..., Any]

HANGING = ("books.housekeep", "settings.backfill", "accounts.backfill", "usage.close_day")


def answered(client: redis.Redis, reply_to: str) -> Any:
    """The answer that comes there."""
    return json.loads(eventually(lambda: client.rpop(reply_to), f"an answer on {reply_to}"))


@pytest.fixture
def ask(producer: Celery, queue: redis.Redis) -> Ask:
    """Sends a request as the document says and waits for its answer."""

    def call(task: str, queue_name: str = "checks", /, *, args: tuple[object, ...] = (), **fields: object) -> Any:
        reply_to = f"tollbook.reply.{uuid4()}"
        producer.send_task(task, args=args, kwargs=fields, queue=queue_name, reply_to=reply_to, expires=60, ignore_result=True)
        return answered(queue, reply_to)

    return call


@pytest.mark.usefixtures("acme")
def test_the_documents_snippets_ask_and_are_answered(broker_url: str, start_worker: StartWorker, tmp_path: Path, queue: redis.Redis) -> None:
    """The very code of docs/checks.md, with a broker of its own, gets the answer to a first question; nothing stays in the broker for ever."""
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    snippet = "\n".join(block for block in blocks if "redis.Redis" in block or "balance.check" in block)
    (tmp_path / "service.py").write_text(re.sub(r'(?m)^BROKER = ".*"$', f"BROKER = {broker_url!r}", snippet))
    start_worker().ready()
    done = subprocess.run([sys.executable, tmp_path / "service.py"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "go ahead, 10.000000000 CHF left\n"), done.stderr
    eventually(lambda: not queue.exists("checks") and not queue.hlen("tollbook.unacked"), "the request is acknowledged")
    assert queue.keys("tollbook.reply.*") == []


@pytest.mark.usefixtures("acme")
def test_whatever_is_asked_is_answered(ask: Ask, queue: redis.Redis, start_worker: StartWorker) -> None:
    """Exact amounts also as JSON numbers, and of every bad request its kind, the field and the value."""
    start_worker().ready()
    assert ask("balance.check", **CHECK, estimated_cost="10.000000001") == {
        "result": {
            "allowed": False,
            "reason": "INSUFFICIENT_BALANCE",
            "current_balance": "10.000000000",
            "required_amount": "10.000000001",
            "billing_model": "PREPAY_USER",
            "held": "0.000000000",
            "available": "10.000000000",
            "cap": None,
            "unjudged_caps": [],
        }
    }
    body = b'[[], {"mandate_id": "acme", "user_id": "ada", "estimated_cost": 999999.123456789}, {}]'
    properties = {"delivery_tag": "1", "delivery_info": {}, "reply_to": "tollbook.reply.exact"}
    queue.lpush("checks", in_envelope(b"", "balance.check", body=body.decode(), properties=properties))
    assert answered(queue, "tollbook.reply.exact")["result"]["required_amount"] == "999999.123456789"

    def told(*arguments: Any, **fields: Any) -> tuple[str, str]:
        error = ask(*arguments, **fields)["error"]
        return error["kind"], error["message"]

    assert told("balance.check", **CHECK, estimated_cost=-1) == ("refused", "estimated_cost: -1 is negative")
    assert told("balance.check", mandate_id="acme") == ("refused", "user_id: is missing")
    assert told("balance.check", **CHECK, price=1) == ("refused", "price: is not a field of this request")
    assert told("balance.check", **CHECK, self=1) == ("failed", "balance.check failed; the worker's log tells why")
    assert told("balance.check", args=("acme",))[1].startswith("arguments: balance.check takes named ones (kwargs), got 1")
    assert told("settings.get", mandate_id="globex")[0] == "not_found"
    assert told("balance.chek") == ("refused", "task: 'balance.chek' is not served on the queue 'checks'")
    queue.lpush("checks", in_envelope(b'[[], {"a": {"__type__": "decimal", "__value__": "x"}}, {}]', "balance.check", properties=_waiting("typed")))
    assert "typed value" in answered(queue, "tollbook.reply.typed")["error"]["message"]
    queue.lpush("checks", in_envelope(b"[[], {}, {}]", "balance.check", headers={"task": ["balance.check"], "id": 5}, properties=_waiting("list")))
    assert "is not served" in answered(queue, "tollbook.reply.list")["error"]["message"]
    assert ask("balance.check", **CHECK)["result"]["allowed"]


def _waiting(name: str) -> dict[str, Any]:
    return {"delivery_tag": str(uuid4()), "delivery_info": {}, "reply_to": f"tollbook.reply.{name}", "body_encoding": "base64"}


@pytest.mark.usefixtures("acme")
def test_a_caller_that_went_away_leaves_nothing(producer: Celery, queue: redis.Redis, start_worker: StartWorker, ask: Ask, rows: Rows) -> None:
    """An expired request isn't worked on, an answer that nobody fetches vanishes, and no list but a reply's is ever written to."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    producer.send_task("balance.check", kwargs={**CHECK, "user_id": "bob"}, queue="checks", reply_to="tollbook.reply.late", expires=past)
    start_worker("-Q", "checks,movements").ready()
    for reply_to in ("usage", "tollbook.claims", None, "tollbook.reply.gone"):
        producer.send_task("balance.check", kwargs=CHECK, queue="checks", reply_to=reply_to)
    assert ask("balance.check", **CHECK)["result"]["allowed"]
    eventually(lambda: queue.exists("tollbook.reply.gone"), "the last one is answered")
    assert 0 < queue.ttl("tollbook.reply.gone") <= 60
    assert not queue.exists("tollbook.reply.late", "usage", "tollbook.claims")
    assert [row["user_id"] for row in rows("SELECT user_id FROM accounts")] == ["ada"]


@pytest.mark.usefixtures("acme")
def test_a_key_given_twice_is_refused_by_every_door(queue: redis.Redis, start_worker: StartWorker, ask: Ask, rows: Rows) -> None:
    """A movement, a check, a view and settings, at any depth, in either protocol: nothing is done, and the answer names the key."""
    start_worker().ready()
    ask("balance.check", **CHECK)
    top_up = b'{"mandate_id": "acme", "account_id": 1, "amount": "1", "key": "k", "by": "olga", "amount": "2"}'
    requests = {
        ("movements", "movement.top_up", top_up): "amount",
        ("checks", "balance.check", b'{"mandate_id": "globex", "user_id": "ada", "mandate_id": "acme"}'): "mandate_id",
        ("views", "view.balances_of_user", b'{"user_id": "ada", "actor": {"role": "user", "user_id": "ada", "role": "root"}}'): "role",
        ("movements", "settings.update", b'{"mandate_id": "acme", "by": "o", "changes": {"billing_address": {"city": "a", "city": "b"}}}'): "city",
    }
    for number, ((where, task, fields), key) in enumerate(requests.items()):
        old = b'{"task": "%s", "id": "1", "args": [], "kwargs": %s}' % (task.encode(), fields)
        for name, body, headers in ((f"new{number}", b"[[], %s, {}]" % fields, task), (f"old{number}", old, None)):
            queue.lpush(where, in_envelope(body, headers, properties=_waiting(name)))
            error = answered(queue, f"tollbook.reply.{name}")["error"]
            assert error == {"kind": "refused", "message": f"body: key '{key}' is given twice"}
    assert rows("SELECT count(*) AS n FROM transactions WHERE reference_type = 'PAYMENT'") == [{"n": 0}]
    eventually(lambda: not queue.hlen("tollbook.unacked"), "what was refused is settled")
    assert ask("balance.check", **CHECK)["result"]["current_balance"] == "10.000000000"


TOP_UP = {"mandate_id": "acme", "account_id": 1, "amount": "1000", "key": "forged", "by": "mallory"}


@pytest.mark.usefixtures("acme")
def test_who_may_write_to_checks_can_have_no_money_moved(
    producer: Celery, queue: redis.Redis, start_worker: StartWorker, ask: Ask, rows: Rows
) -> None:
    """A movement on `checks`, under its own name, behind Celery's own tasks, with a forged origin, linked, chained or as the
    error's callback of a check: none is made, and none appears on `movements`.
    """
    start_worker().ready()
    ask("balance.check", **CHECK)
    forged = signature("movement.top_up", kwargs=TOP_UP, queue="movements", immutable=True)
    producer.send_task("movement.top_up", kwargs=TOP_UP, queue="checks")
    producer.send_task("celery.starmap", args=[dict(forged), [[]]], queue="checks")
    producer.send_task("celery.group", args=[[dict(forged)], "x", []], queue="checks")
    producer.send_task("books.housekeep", queue="checks")
    producer.send_task("movement.top_up", kwargs=TOP_UP, queue="views")
    producer.send_task("balance.check", kwargs=CHECK, queue="checks", link=forged, link_error=forged)
    producer.send_task("balance.check", kwargs={}, queue="checks", chain=[dict(forged)], link_error=forged)
    from_elsewhere = {**_waiting("forged"), "delivery_info": {"exchange": "", "routing_key": "movements"}}
    queue.lpush("checks", in_envelope(json.dumps([[], TOP_UP, {}]).encode(), "movement.top_up", properties=from_elsewhere))
    all_of_it = {"actor": {"role": "root"}}
    from_views = {**_waiting("forged.view"), "delivery_info": {"exchange": "", "routing_key": "views"}}
    queue.lpush("checks", in_envelope(json.dumps([[], all_of_it, {}]).encode(), "view.mandate_balances", properties=from_views))
    smuggled = {"task": "balance.check", "id": "1", "callbacks": [dict(forged)], "chain": [dict(forged)]}
    queue.lpush("checks", in_envelope(json.dumps([[], CHECK, {}]).encode(), "balance.check", headers=smuggled))
    assert answered(queue, "tollbook.reply.forged")["error"]["kind"] == "refused"
    assert answered(queue, "tollbook.reply.forged.view")["error"]["kind"] == "refused"
    eventually(lambda: not queue.exists("checks") and not queue.hlen("tollbook.unacked"), "all of them are settled")
    assert ask("balance.check", **CHECK)["result"]["current_balance"] == "10.000000000"
    assert ask("settings.update", mandate_id="acme", by="mallory", changes={})["error"]["kind"] == "refused"
    assert not queue.exists("movements")
    assert rows("SELECT DISTINCT reference_type FROM transactions") == [{"reference_type": "SYSTEM"}]
    assert rows("SELECT FROM job_runs") == []


@pytest.mark.usefixtures("acme")
def test_views_are_asked_as_somebody(ask: Ask, start_worker: StartWorker) -> None:
    """The queue of views answers what the actor may see, refuses what he may not, and does nothing else; checks don't read."""
    start_worker().ready()
    ask("balance.check", **CHECK)
    ada, wanted = {"role": "user", "user_id": "ada"}, {"user_id": "ada"}
    (balance,) = ask("view.balances_of_user", "views", actor=ada, **wanted)["result"]
    assert (balance["mandate_id"], balance["balance"]) == ("acme", "10.000000000")
    (grant,) = ask("view.transactions_of_user", "views", actor=ada, first="2026-01-01", **wanted)["result"]
    later = ask("view.transactions_of_user", "views", actor=ada, before=[grant["recorded_at"], grant["id"]], **wanted)
    assert later == {"result": []}
    assert ask("view.mandate_balances", "views", actor=ada)["error"] == {
        "kind": "forbidden",
        "message": "'user:ada' may not read the balances of mandates",
    }
    wrong = ask("view.balances_of_user", "views", actor={"role": "root", "user_id": "ada"}, **wanted)["error"]
    assert (wrong["kind"], wrong["message"].startswith("actor: ")) == ("refused", True)
    assert ask("view.balances_of_user", "views", **wanted)["error"] == {"kind": "refused", "message": "actor: is missing"}
    assert ask("view.balances_of_user", actor=ada, **wanted)["error"]["kind"] == "refused"
    assert ask("balance.check", "views", **CHECK)["error"]["kind"] == "refused"


@pytest.mark.usefixtures("acme")
def test_settings_are_asked_for_and_changed(ask: Ask, start_worker: StartWorker) -> None:
    """Made once, read by anybody, changed by whom the queue of movements is open to, a stale writer told so."""
    start_worker().ready()
    assert ask("settings.get", mandate_id="acme")["error"]["kind"] == "not_found"
    made = ask("settings.get_or_create", "movements", mandate_id="acme", billing_model="PREPAY_MANDATE", by="olga")["result"]
    assert (made["billing_model"], made["version"], made["default_user_credit"]) == ("PREPAY_MANDATE", 1, "10.000000000")
    assert ask("settings.create", "movements", mandate_id="acme", by="olga")["error"]["kind"] == "conflict"
    changes = {"default_user_credit": "12.5", "billing_address": {"city": "Zürich"}}
    changed = ask("settings.update", "movements", mandate_id="acme", by="olga", changes=changes, expected_version=1)["result"]
    assert (changed["version"], changed["default_user_credit"], changed["billing_address"]) == (2, "12.500000000", {"city": "Zürich"})
    stale = ask("settings.update", "movements", mandate_id="acme", by="oleg", changes={"notify_on_warning": False}, expected_version=1)
    assert (stale["error"]["kind"], "has settings version 2, not 1" in stale["error"]["message"]) == ("conflict", True)
    wrong = ask("settings.update", "movements", mandate_id="acme", by="olga", changes={"time_zone": "Mars"})["error"]
    assert wrong == {"kind": "refused", "message": "time_zone: 'Mars' is not an IANA time zone"}
    assert ask("settings.get", mandate_id="acme")["result"] == changed


@pytest.mark.usefixtures("acme")
def test_a_movement_waits_for_the_database_and_is_made_once(
    producer: Celery, queue: redis.Redis, ask: Ask, start_worker: StartWorker, owner_database: Database, rows: Rows
) -> None:
    """Asked for while the database can't answer, it is tried until it can; the same key again gets the first result."""
    worker = start_worker(TOLLBOOK_LOCK_TIMEOUT_SECONDS="0.2").ready()
    ask("balance.check", **CHECK)
    (account,) = rows("SELECT id FROM accounts")
    wanted = {**TOP_UP, "account_id": account["id"], "amount": 5, "key": "invoice-1", "by": "olga"}
    with owner_database.transaction() as connection:
        connection.exec_driver_sql("LOCK TABLE operation_keys")
        producer.send_task("movement.top_up", kwargs=wanted, queue="movements", reply_to="tollbook.reply.first")
        eventually(lambda: "answer.waits_for_database" in worker.output(), "it was tried in vain")
        assert not queue.exists("tollbook.reply.first")
    first = answered(queue, "tollbook.reply.first")["result"]
    again = ask("movement.top_up", "movements", **wanted)["result"]
    assert (first["balance"], first["repeated"]) == ("15.000000000", False)
    assert again == {**first, "repeated": True}
    assert ask("movement.top_up", "movements", **{**wanted, "amount": "6"})["error"]["kind"] == "conflict"
    assert rows("SELECT amount FROM transactions WHERE reference_type = 'PAYMENT'") == [{"amount": Decimal(5)}]


@pytest.mark.usefixtures("acme")
def test_jobs_that_hang_hold_up_no_check(producer: Celery, ask: Ask, start_worker: StartWorker, owner_database: Database, rows: Rows) -> None:
    """While four jobs of the same worker wait for the database, a check is answered."""
    start_worker().ready()
    with owner_database.transaction() as connection:
        connection.exec_driver_sql("LOCK TABLE job_runs")
        for job in HANGING:
            producer.send_task(job, queue="maintenance")
        waiting = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND relation = 'job_runs'::regclass"
        eventually(lambda: rows(waiting)[0]["n"] == len(HANGING), "all of them wait")
        assert ask("balance.check", **CHECK)["result"]["allowed"]
        assert rows(waiting) == [{"n": len(HANGING)}]


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A broker whose users a test may change."""
    with temporary_dir() as folder:
        server = ValkeyServer(folder / "valkey", appendfsync="no")
        server.start()
        yield server
        server.stop()


def acl_of(login: str) -> list[str]:
    """The words of the ACL that the document gives a login."""
    (arguments,) = re.findall(rf"ACL SETUSER ({login} .*?)\n```", DOCUMENT, re.DOTALL)
    return [word.replace("\\|", "|") for word in shlex.split(arguments.replace("\\\n", " ").replace("\\|", "\\\\|"))]


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("login", ["producer", "sender"])
def test_a_producers_login_reaches_its_queues_alone(own_valkey: ValkeyServer, start_worker: StartWorker, rows: Rows, login: str) -> None:
    """With either ACL of the document a stock producer sends usage and gets checks answered, and is refused everything else."""
    sending: dict[str, Any] = {"queue": "usage"} if login == "producer" else {"queue": "usage", "declare": []}
    asking: dict[str, Any] = {"queue": "checks"} if login == "producer" else {"queue": "checks", "declare": []}
    with redis.Redis.from_url(own_valkey.url()) as main:
        main.execute_command("ACL SETUSER", *acl_of(login))
    url = f"redis://{login}:password@127.0.0.1:{own_valkey.port}/0"
    start_worker(CELERY_BROKER_URL=own_valkey.url()).ready()
    with Celery("producer", broker=url, set_as_current=False) as producer, redis.Redis.from_url(url) as client:
        producer.conf.broker_transport_options = {"socket_timeout": 10}
        producer.send_task("usage.record", kwargs={"event": event(price_chf="4")}, **sending, priority=9, ignore_result=True, retry=False)
        client.lpush("usage.json", json.dumps(event(price_chf="2")))
        eventually(lambda: len(rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'")) == 2, "both are recorded")
        producer.send_task("balance.check", kwargs=CHECK, **asking, reply_to="tollbook.reply.x", ignore_result=True, retry=False)
        popped: Any = client.blpop(["tollbook.reply.x"], timeout=4)
        assert json.loads(popped[1])["result"]["current_balance"] == "4.000000000"
        if login == "producer":
            assert client.brpop(["tollbook.outcomes.shop"], timeout=0.01) is None, "it may read what it is told"
        for forbidden in ("movements", "views", "maintenance"):
            with pytest.raises(Exception, match=r"(?i)permission|NOPERM"):
                producer.send_task("movement.top_up", kwargs=TOP_UP, queue=forbidden, ignore_result=True, retry=False)
        for command in (
            ("LPUSH", "movements", "x"),
            ("SADD", "_kombu.binding.movements", "x"),
            ("BRPOP", "usage", "1"),
            *([("BLPOP", "usage", "1"), ("LPUSH", "tollbook.reply.y", "x"), ("LPUSH", "tollbook.outcomes.shop", "x")] if login == "producer" else []),
            ("SADD", "checks\x06\x169", "x"),
            ("SADD", "usage", "x"),
            ("SADD", "usage.json", "x"),
            ("SADD", "tollbook.reply.x", "x"),
            ("LPUSH", "_kombu.binding.checks", "x"),
            ("LPUSH", "usage.dead", "x"),
            ("HSET", "tollbook.unacked", "x", "y"),
            ("PUBLISH", "/0.celery.pidbox", "x"),
            ("DEL", "usage"),
            ("FLUSHALL",),
            ("CONFIG", "GET", "*"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)
