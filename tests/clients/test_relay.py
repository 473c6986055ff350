"""The relay: what is in the outbox is published in its order, beside others, through outages, and a bad row stops none of the rest."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tollbook_client.outbox import add
from tollbook_client.relay import Relay
from tollbook_client.transport import NotDelivered

from lab.process import temporary_dir
from lab.proxy import Proxy
from lab.rabbitmq import RabbitServer
from lab.valkey import ValkeyServer
from tests.clients.conftest import CallersDatabase, sent_events
from tests.delivery.brokers import Broker, RabbitBroker, RedisBroker
from tests.delivery.conftest import Program, both_brokers, eventually, require_rabbitmq
from tests.sample_events import event


def add_events(caller: CallersDatabase, *ids: str, **fields: object) -> None:
    """Adds events with these ids, in a transaction."""
    with closing(caller.connect()) as connection:
        for event_id in ids:
            add(connection, event(event_id=event_id, **fields))
        connection.commit()


def ids_of(events: list[dict[str, Any]]) -> list[str]:
    """The ids of events."""
    return [one["event_id"] for one in events]


@pytest.fixture
def start_relay(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts relays as processes, which are ended after the test."""
    started: list[Program] = []

    def start(caller: CallersDatabase, broker_url: str, *arguments: str) -> Program:
        more = {"OUTBOX_DATABASE_URL": caller.url, "CELERY_BROKER_URL": broker_url}
        started.append(Program(tmp_path / f"relay-{len(started)}.log", environment | more, "tollbook_client.relay", *arguments))
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            program.kill()
        print(program.output()[-5000:])  # noqa: T201 - pytest shows it with a failure


@both_brokers
def test_rows_go_out_in_their_order_and_bad_ones_aside(broker: Broker, caller: CallersDatabase) -> None:
    """Events arrive by the order of their ids, byte for byte but for their number; what is no event, or too long, stays with its reason."""
    exact = '{"event_id":"c", "mandate_id":"acme","user_id":"ada","occurred_at":"2026-01-31T00:00:00Z","price_chf":0.10000000000000000055 }\n'
    bad = ["", "no event", "[]", "{}", '{"event_id":NaN}', "[" * 100_000, '{"event_id":"x"}', '{"event_id":"%s"}' % ("x" * 800_000)]
    add_events(caller, "a")
    with closing(caller.connect()) as connection:
        place = "%s" if caller.kind == "postgresql" else "?"
        for body in (*bad, exact):
            connection.execute(f"INSERT INTO tollbook_outbox (body) VALUES ({place})", (body,))
        connection.commit()
    add_events(caller, "b", producer_id="own", producer_seq=7)
    relay = Relay(caller.url, broker.url, rows_max=3)
    relay.drain()
    relay.close()
    sent = sent_events(broker)
    assert ids_of(sent) == ["a", "c", "b"]
    assert [one["producer_seq"] for one in sent] == [1, 2, 7]
    assert sent[0]["producer_id"] == sent[1]["producer_id"] != sent[2]["producer_id"]
    aside = caller.rows("SELECT body, error FROM tollbook_outbox ORDER BY id")
    assert [body for body, _ in aside] == bad
    assert all(error for _, error in aside)
    caller.rows("UPDATE tollbook_outbox SET error = NULL")
    relay.drain()
    relay.close()
    assert len(caller.rows("SELECT error FROM tollbook_outbox WHERE error IS NOT NULL")) == len(bad)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        *[(kind, f"'{{\"{name}\":1}}'") for kind in ("postgresql", "sqlite") for name in ("\\ud800", "\\u0000")],
        ("sqlite", "x'7b7d'"),
        ("sqlite", "CAST(x'7bff7d' AS text)"),
    ],
)
def test_no_row_keeps_the_others_waiting(kind: str, written: str, broker: Broker, request: pytest.FixtureRequest) -> None:
    """Names of fields that no database takes as text, bytes in place of text, text that is no UTF-8: each is set aside with its reason."""
    caller: CallersDatabase = request.getfixturevalue("postgres_caller" if kind == "postgresql" else "sqlite_caller")
    caller.rows(f"INSERT INTO tollbook_outbox (body) VALUES ({written})")
    add_events(caller, "a")
    relay = Relay(caller.url, broker.url)
    relay.drain()
    relay.close()
    assert ids_of(sent_events(broker)) == ["a"]
    ((reason,),) = caller.rows("SELECT error FROM tollbook_outbox")
    assert reason.isprintable()


def test_what_goes_out_is_exactly_what_stands_in_the_table(broker: Broker, sqlite_caller: CallersDatabase) -> None:
    """No number of an event is written anew: a price keeps every digit."""
    relay = Relay(sqlite_caller.url, broker.url)
    body = '{"price_chf":0.10000000000000000055} '
    numbered = relay._numbered(body, {"price_chf": 0.1})
    assert numbered.startswith('{"price_chf":0.10000000000000000055,"producer_id":"')
    assert relay._numbered(body, {"schema_version": 1}) == body
    relay.close()


def test_several_relays_share_the_work(broker: Broker, caller: CallersDatabase) -> None:
    """Relays in threads and one that is closed in between publish each event once, whichever database it is."""
    ids = [f"{n:03}" for n in range(200)]
    relays = [Relay(caller.url, broker.url, rows_max=5, poll_seconds=0.01) for _ in range(3)]
    threads = [threading.Thread(target=relay.run) for relay in relays]
    for thread in threads:
        thread.start()
    for start in range(0, 200, 10):
        add_events(caller, *ids[start : start + 10])
    relays[0].stop()
    eventually(lambda: not caller.waiting(), "all is carried")
    for relay in relays:
        relay.stop()
    for thread in threads:
        thread.join()
    assert sorted(ids_of(sent_events(broker))) == ids


def test_what_was_not_confirmed_leaves_no_gap(broker: Broker, sqlite_caller: CallersDatabase) -> None:
    """After a failure numbers are given anew, in a new life: no number of any life is missing below its highest."""
    with Proxy(broker.url) as proxy:
        relay = Relay(sqlite_caller.url, proxy.url(broker.url))
        add_events(sqlite_caller, "a", "b")
        relay.drain()
        add_events(sqlite_caller, "c")
        proxy.refuse()
        with pytest.raises(NotDelivered):
            relay.drain()
        proxy.refuse(False)
        add_events(sqlite_caller, "d")
        relay.drain()
        relay.close()
    lives: dict[str, list[int]] = {}
    for one in sent_events(broker):
        lives.setdefault(one["producer_id"], []).append(one["producer_seq"])
    assert list(lives.values()) == [[1, 2], [1, 2]]


def test_a_standby_takes_over_from_a_relay_that_was_killed(broker: Broker, caller: CallersDatabase, start_relay: Callable[..., Program]) -> None:
    """While one relay hangs at its broker, the database takes new events at once; once it is killed, another has its rows, without waiting."""
    with Proxy(broker.url) as proxy:
        add_events(caller, "a")
        proxy.delay(3600)
        first = start_relay(caller, proxy.url(broker.url), "--rows", "1")
        eventually(proxy.half_open, "it is at its broker")
        add_events(caller, "b")
        assert len(caller.waiting()) == 2
        first.kill()
        assert start_relay(caller, broker.url, "--once").process.wait(60) == 0
        assert ids_of(sent_events(broker)) == ["a", "b"]


@both_brokers
def test_a_broker_that_is_stopped_and_started_again_loses_nothing(
    broker_kind: str, postgres_caller: CallersDatabase, start_relay: Callable[..., Program]
) -> None:
    """What is added while the broker's server is down waits in the table, told once in the log, and goes out in order once it is back;
    SIGTERM ends the relay with exit code 0.
    """
    if broker_kind == "rabbitmq":
        require_rabbitmq()
    with temporary_dir() as folder:
        valkey, rabbit = ValkeyServer(folder / "valkey", appendfsync="always"), RabbitServer(folder / "rabbitmq")
        server = rabbit if broker_kind == "rabbitmq" else valkey
        server.start()
        try:
            relay = start_relay(postgres_caller, server.url(), "--poll", "0.05", "--rows", "10")
            add_events(postgres_caller, *"abc")
            eventually(lambda: not postgres_caller.waiting(), "it goes out")
            server.stop()
            for n in range(30):
                add_events(postgres_caller, f"d{n:02}")
            eventually(lambda: relay.says("trying again"), "it says so")
            add_events(postgres_caller, *"xyz")
            assert len(postgres_caller.waiting()) == 33
            server.start()
            eventually(lambda: not postgres_caller.waiting(), "it goes out, too")
            assert relay.terminate() == 0
            assert relay.output().count("trying again") <= 5
            read: Broker = RabbitBroker(rabbit) if broker_kind == "rabbitmq" else RedisBroker(valkey.url())
            assert list(dict.fromkeys(ids_of(sent_events(read)))) == [*"abc", *(f"d{n:02}" for n in range(30)), *"xyz"]
            if isinstance(read, RedisBroker):
                read.close()
        finally:
            server.stop()


def test_a_table_that_is_missing_is_waited_for(broker: Broker, sqlite_caller: CallersDatabase, start_relay: Callable[..., Program]) -> None:
    """A relay that is started before its table tells so and goes on once it is there; `--once` fails with exit code 1, a wrong URL with 2."""
    statement = sqlite_caller.rows("SELECT sql FROM sqlite_master WHERE name = 'tollbook_outbox'")[0][0]
    sqlite_caller.rows("DROP TABLE tollbook_outbox")
    assert start_relay(sqlite_caller, broker.url, "--once").process.wait(60) == 1
    assert start_relay(sqlite_caller, "http://x").process.wait(60) == 2
    relay = start_relay(sqlite_caller, broker.url, "--poll", "0.05")
    eventually(lambda: relay.says("no such table"), "it says so")
    sqlite_caller.rows(statement)
    add_events(sqlite_caller, "a")
    eventually(lambda: broker.waiting("usage"), "it goes on")
    os.kill(relay.process.pid, signal.SIGINT)
    assert relay.process.wait(60) == 0


@pytest.mark.parametrize(
    "url", ["postgresql://u:hun/ter2@127.0.0.1:1/d", "postgresql://u:hun@ter2@127.0.0.1:1/d", "postgresql://u:hunter2%ZZ@127.0.0.1:1/d"]
)
def test_a_password_that_ends_its_databases_url_is_told_by_no_error(url: str) -> None:
    """A relay that is given it ends with exit code 2 and what helps."""
    environment = os.environ | {"OUTBOX_DATABASE_URL": url, "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "tollbook_client.relay", "--once"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "%2F" in done.stderr
    assert "hun" not in done.stdout + done.stderr
    assert "ter2" not in done.stdout + done.stderr
