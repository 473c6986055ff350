"""The client for Node.js as it is packed and installed: over both brokers with a real worker, and its contract beside core's."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
import redis
from kombu import Connection

from core.events.contract import ALIASES, EventContractV2
from lab.proxy import Proxy
from tests.certificates import HOST, Authority, by_tls
from tests.conftest import Rows
from tests.delivery.brokers import Broker, RabbitBroker
from tests.delivery.conftest import ROOT, StartWorker, both_brokers, eventually
from tests.delivery.test_any_language import PACKAGES, Programs, packages, program, programs
from tests.delivery.test_checks import DOCUMENT, acl_of
from tests.sample_events import event, parsed, rejection_of
from tests.scene import PutSettings

__all__ = ["programs"]
CLIENT = ROOT / "clients/node"
README = (CLIENT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```js\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
DEBITS = "SELECT event_id, amount, hold_key FROM transactions WHERE reference_type = 'WORKFLOW'"
ANY_VERSION = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Where Node.js is, and the folder of a service that has installed the client as npm packs it."""
    executable, npm = program("node", "nodejs"), program("npm", "npm")
    folder = tmp_path_factory.mktemp("service")
    packed = subprocess.run([npm, "pack", "--json", "--pack-destination", folder], cwd=CLIENT, capture_output=True, text=True, timeout=60, check=True)
    (archive,) = json.loads(packed.stdout)
    shutil.unpack_archive(folder / archive["filename"], folder)
    (folder / "package" / "node_modules").symlink_to(packages(CLIENT) / "node_modules")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "tollbook-client").symlink_to(folder / "package")
    shutil.copy(PACKAGES / "client.mjs", folder)
    return executable, folder


class Driven:
    """A process of Node.js with a client in it, whose calls are made one after another."""

    def __init__(self, service: tuple[str, Path], broker_url: str, **options: object) -> None:
        executable, folder = service
        command = [executable, "client.mjs", json.dumps({"brokerUrl": broker_url, **options})]
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def begin(self, call: str, argument: object = None) -> None:
        """Makes a call; `end` waits for what comes of it."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([call, argument]) + "\n")
        self.process.stdin.flush()

    def end(self) -> Any:
        """What came of the call that was begun."""
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def call(self, call: str, argument: object = None) -> Any:
        """The result of a call, which must end well."""
        self.begin(call, argument)
        ended = self.end()
        assert "error" not in ended, ended
        return ended.get("result")


@pytest.fixture
def login(broker: Broker, broker_url: str) -> Iterator[tuple[str, dict[str, object]]]:
    """The URL of a producer with the rights of docs/checks.md and no others, and the options that it needs."""
    parts = urlsplit(broker_url)
    url = parts._replace(netloc=f"producer:password@{parts.hostname}:{parts.port}").geturl()
    if not isinstance(broker, RabbitBroker):
        with redis.Redis.from_url(broker_url) as main:
            main.execute_command("ACL SETUSER", *acl_of("producer"))
            yield url, {}
            main.execute_command("ACL DELUSER", "producer")
        return
    for line in re.findall(r"^rabbitmqctl (.*)$", DOCUMENT, re.MULTILINE):
        broker.server.control(*(word.strip("'") for word in line.split()))
    with Connection(broker_url) as connection:
        channel: Any = connection.default_channel
        for name in ("usage", "checks"):
            channel.exchange_declare(exchange=name, type="direct", durable=True, auto_delete=False)
            channel.queue_bind(queue=name, exchange=name, routing_key=name)
    yield url, {"ownExchanges": True}
    broker.server.control("delete_user", "producer")


@pytest.fixture(autouse=True)
def settings(put_settings: PutSettings) -> None:
    """The mandate acme, whose users have CHF 1 each."""
    put_settings(users=["ada", "bob"], default_user_credit=1)


def fields(**more: object) -> dict[str, object]:
    """Those of an event without an id or a time."""
    return {"mandate_id": "acme", "user_id": "bob", "price_chf": "0.001", **more}


@both_brokers
def test_what_is_recorded_stands_in_the_books_once_whatever_the_broker_does(
    service: tuple[str, Path], programs: Programs, broker_url: str, login: tuple[str, dict[str, object]], start_worker: StartWorker, rows: Rows
) -> None:
    """The examples of the README, then: no confirmation, a broker that is away and comes back, one that stays away for too long. Each event is
    recorded once, under the id that it was given first; exactly as many of 60 callers may make their call as the money is enough for.
    """
    start_worker().ready()
    for code in EXAMPLES:
        programs.succeed(service[0], "--input-type=module", "-", given=code, folder=service[1])
    eventually(lambda: len(rows(DEBITS)) == len(EXAMPLES), "what the examples record is recorded")
    url, options = login
    with Proxy(broker_url) as proxy, Driven(service, proxy.url(url), retrySeconds=60, **options) as client:
        ids = without_confirmation(client, proxy) + away_and_back(client, proxy)
        too_late = away_for_too_long(service, proxy, proxy.url(url), options)
        ids += client.call("recordMany", too_late)
        eventually(lambda: len(rows(DEBITS)) == len(EXAMPLES) + len(ids), "all are recorded")
        assert {row["event_id"] for row in rows(DEBITS)} > set(ids)
        assert all(ANY_VERSION.fullmatch(one) for one in ids)
        assert len(set(ids)) == len(ids)
        many_callers(client, rows)
        assert client.call("close") is True
        assert client.call("told") == []


def without_confirmation(client: Driven, proxy: Proxy) -> list[str]:
    """Records while the broker's confirmation is lost on its way: it is sent again."""
    (first,) = client.call("recordEach", [fields()])
    assert client.call("check", {"mandate_id": "acme", "user_id": "bob"})["allowed"] is True
    swallowed = proxy.swallow(lambda _: True)
    (second,) = client.call("recordEach", [fields()])
    assert swallowed.is_set()
    return [first, second]


def away_and_back(client: Driven, proxy: Proxy) -> list[str]:
    """Records while the broker can't be reached, and then over a connection on which nothing moves any more."""
    proxy.refuse()
    client.call("begin", [fields() for _ in range(250)])
    assert client.call("flush", 0.3) is False
    proxy.refuse(False)
    ids: list[str] = client.call("begun")
    proxy.half_open()
    ids += client.call("recordMany", [fields() for _ in range(3)])
    return ids


def away_for_too_long(service: tuple[str, Path], proxy: Proxy, url: str, options: dict[str, object]) -> Any:
    """What a client gives back that could not deliver it: events with their ids."""
    proxy.refuse()
    with Driven(service, url, retrySeconds=0.3, answerAttempts=2, **options) as client:
        client.begin("recordMany", [fields(), fields()])
        ended = client.end()
        assert ended["error"] == "NotDelivered"
        client.begin("authoriseEach", [{"mandate_id": "acme", "user_id": "ada", "amount": "1"}])
        unanswered = client.end()
        assert unanswered["error"] == "NoAnswer"
        assert ANY_VERSION.fullmatch(unanswered["key"])
        assert client.call("told") == ["NotDelivered"]
    proxy.refuse(False)
    assert [one["producer_seq"] for one in ended["events"]] == [1, 2]
    return ended["events"]


def many_callers(client: Driven, rows: Rows) -> None:
    """60 callers hold 3 centimes of one franc, and record under what they hold."""
    before = rows("SELECT balance FROM accounts WHERE user_id = 'ada'")[0]["balance"]
    question = {"mandate_id": "acme", "user_id": "ada", "amount": "0.03"}
    granted = [one for one in client.call("authoriseEach", [question] * 60) if one["allowed"]]
    assert len(granted) == int(before / Decimal("0.03"))
    client.call("recordMany", [fields(user_id="ada", price_chf="0.03", hold_key=one["key"]) for one in granted])
    eventually(lambda: not rows("SELECT FROM holds WHERE state = 'OPEN'"), "every hold is taken")
    assert rows("SELECT balance, held FROM accounts WHERE user_id = 'ada'") == [{"balance": before - len(granted) * Decimal("0.03"), "held": 0}]
    renewed, released = client.call("releaseAndRenew", {"mandate_id": "acme", "user_id": "ada", "amount": "0.001"})
    assert (renewed["done"], renewed["state"], released["done"], released["state"]) == (True, "OPEN", True, "RELEASED")
    client.begin("check", {"mandate_id": "acme"})
    assert (refused := client.end())["error"] == "Refused", refused
    assert refused["kind"] == "refused"


def test_a_login_without_rights_is_told_at_once(service: tuple[str, Path], broker_url: str, queue: redis.Redis, start_worker: StartWorker) -> None:
    """A wrong password is no reason to try for a minute; what was not delivered is told to `onError`, too, and a closed client takes nothing."""
    parts = urlsplit(broker_url)
    wrong = parts._replace(netloc=f":wrong@{parts.hostname}:{parts.port}").geturl()
    with Driven(service, wrong, retrySeconds=3600) as client:
        client.begin("recordEach", [fields()])
        assert (ended := client.end())["error"] == "NotDelivered"
        assert "WRONGPASS" in ended["message"]
        assert client.call("close") is True
        client.begin("recordEach", [fields()])
        assert "closed" in client.end()["message"]
        assert client.call("told") == ["NotDelivered", "NotDelivered"]
    assert queue.llen("usage") == 0


@both_brokers
def test_by_tls_it_believes_whom_it_must(service: tuple[str, Path], broker: Broker, tmp_path: Path) -> None:
    """A broker whose certificate is of another authority, or for another host, is sent no event and no password; the right one is."""
    ours, stranger = (Authority(tmp_path, name) for name in ("ours", "stranger"))
    with Proxy(broker.url, tls=ours.server_context()) as proxy:
        for host, authority in ((HOST, stranger), ("127.0.0.1", ours), (HOST, None), (HOST, ours)):
            tls = {"tls": {"ca": authority.file.read_text()}} if authority else {}
            with Driven(service, by_tls(broker.url, host, proxy.port), retrySeconds=0.1, **tls) as client:
                client.begin("recordEach", [fields()])
                ended = client.end()
                is_good = (host, authority) == (HOST, ours)
                assert ended.get("error") == (None if is_good else "NotDelivered"), ended
                assert is_good or re.search("certificate|altname", ended["message"], re.IGNORECASE), ended["message"]
    assert broker.waiting("usage") == 1


ACCEPTED: list[dict[str, object]] = [
    event(),
    event(price_chf="1000000"),
    event(price_chf="-0"),
    event(price_chf="3.4E-7"),
    event(price_chf="+1000000.0000000000"),
    event(price_chf="10000.000e2"),
    event(price_chf=None, usage=None),
    event(user_id="\U0001f9fe" * 128),
    event(occurred_at="2026-02-28t11:00:00.123456789+01:00"),
    event(description=""),
    event(usage={"input_tokens": 2**53 - 1, "output_tokens": None}),
    event(usage_dialect="openai.chat", usage={"prompt_tokens": 1.5, "new": [{"x": None}]}),
    event(reported_cost={"amount": "0.1", "currency": "USD"}, hold_final=False, attempt=0, outcome="failed", usage_basis="none"),
    event(producer_id="p", producer_seq=1, schema_version=2),
]
REFUSED: list[dict[str, object]] = [
    event(price_chf="-0.000000001"),
    event(price_chf="1000000.0000000000001"),
    event(price_chf="10000.0000000000000001E2"),
    event(price_chf="-1e-400"),
    event(price_chf="1e400"),
    event(price_chf="NaN"),
    event(price_chf="1_000"),
    event(price_chf="\uff11"),
    event(price_chf=" 1"),
    event(price_chf=True),
    event(user_id=""),
    event(user_id=5),
    event(user_id="x" * 129),
    event(user_id="\U0001f9fe" * 129),
    event(user_id="a\nb"),
    event(user_id="a\x9fb"),
    event(user_id="\ufdd0"),
    event(user_id="\U0001ffff"),
    event(user_id=...),
    event(event_id=None),
    event(service_tier=""),
    event(occurred_at="2026-02-30T00:00:00Z"),
    event(occurred_at="2026-02-28T24:00:00Z"),
    event(occurred_at="2026-02-28T00:00:60Z"),
    event(occurred_at="2026-02-28T00:00:00"),
    event(occurred_at="0000-02-28T00:00:00Z"),
    event(occurred_at=0),
    event(usage={"prompt_tokens": 1}),
    event(usage={"input_tokens": -1}),
    event(usage={"input_tokens": 2**53}),
    event(usage=[]),
    event(usage_dialect="openai.chat", usage={"x": "y" * 8192}),
    event(usage_dialect="openai", usage={}),
    event(reported_cost={"amount": "1"}),
    event(reported_cost={"amount": "1", "currency": "usd"}),
    event(reported_cost={"amount": "1", "currency": "USD", "x": 1}),
    event(reported_cost={"amount": "-0.0000000001", "currency": "USD"}),
    event(hold_final=1),
    event(attempt=32768),
    event(attempt=1.5),
    event(outcome="done"),
    event(producer_seq=0),
    event(schema_version=3),
    event(colour="red"),
]


def test_the_client_takes_what_core_takes(service: tuple[str, Path]) -> None:
    """Of events at either side of each bound the client refuses those that core refuses, and names the same field; of prices it wants texts.

    What it takes is read by core as it was meant; other spellings of a field are refused with the right one.
    """
    with Driven(service, "redis://127.0.0.1:1/0") as client:
        for given, told in zip(ACCEPTED, client.call("checkedJson", ACCEPTED), strict=True):
            assert parsed(told["result"].encode()) == parsed(given)
        for given, told in zip(REFUSED, client.call("checkedJson", REFUSED), strict=True):
            assert told.get("error") == "ContractError", given
            assert told["field"].split(":")[0] in rejection_of(given).detail, (given, told)
        (number,) = client.call("checkedJson", [event(price_chf=0.1)])
        assert "pass a string" in number["message"]
        for alias, name in ALIASES.items():
            (told,) = client.call("checkedJson", [event(**{alias: "x"})])
            assert told["message"].endswith(f"; write {name}")


def test_answers_of_sdks_go_along_as_they_came(service: tuple[str, Path]) -> None:
    """What the helpers make of answers is what core reads as the provider's; without usage they say that what it cost is not known."""
    usage = {"prompt_tokens": 18, "completion_tokens": 3, "total_tokens": 21}
    answers = [
        {"object": "chat.completion", "id": "c1", "model": "gpt-5.6", "service_tier": "default", "usage": usage},
        {"object": "response", "id": "r1", "model": "gpt-5.6", "service_tier": None, "usage": {"input_tokens": 1, "output_tokens": 2}},
        {"id": "m1", "model": "claude-sonnet-5-5", "usage": {"input_tokens": 1, "output_tokens": 2}},
        {"responseId": "g1", "modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 1}},
    ]
    with Driven(service, "redis://127.0.0.1:1/0") as client:
        made = client.call("fields", answers)
        (unknown, *_) = client.call("fields", [{"id": "c1", "model": "x"}, *answers[1:]])
    read = [parsed(event(price_chf=None, **one)) for one in made]
    assert [(one.provider, one.model, one.call and one.call.usage_dialect, one.call and one.call.provider_request_id) for one in read] == [
        ("openai", "gpt-5.6", "openai.chat", "c1"),
        ("openai", "gpt-5.6", "openai.responses", "r1"),
        ("anthropic", "claude-sonnet-5-5", "anthropic.messages", "m1"),
        ("google", "gemini-2.5-flash", "google.generate_content", "g1"),
    ]
    assert read[0].raw_usage is not None
    assert read[0].raw_usage.decoded() == usage
    assert (unknown["usage_basis"], "usage" in unknown) == ("none", False)


def test_the_types_have_every_field() -> None:
    """`index.d.ts` declares the fields of the contract, no more and no fewer, and the example of the README is five lines long."""
    (declared,) = re.findall(
        r"export interface EventFields \{\n(.*?)^\}", (CLIENT / "index.d.ts").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert re.findall(r"^  (\w+)\??:", declared, re.MULTILINE) == list(EventContractV2.model_fields)
    assert len(EXAMPLES[0].splitlines()) == 5
