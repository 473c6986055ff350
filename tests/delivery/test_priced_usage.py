"""Usage that is priced while it is recorded, with real brokers and real workers: versions and modes that change under load, what waits for
a price, and usage objects through every door.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from core.asking.rights import ROOT
from core.clock import utc_now
from core.database.database import Database
from core.prices.fx import GivenRate, import_fx
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule
from lab.process import free_port
from tests.conftest import Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import ROOT as FOLDER
from tests.delivery.conftest import StartWorker, both_brokers, eventually
from tests.delivery.test_faults import balances_agree, kill_amid_a_batch, message
from tests.prices.scene import accepted, row
from tests.sample_events import NOW, OCCURRED_AT, body_of, event
from tests.scene import PutMandate

Counts = Callable[[], dict[str, int]]
IsDrained = Callable[[], bool]
USAGE = {"prompt_tokens": 328, "completion_tokens": 52, "total_tokens": 380}
BOOK = (row("gpt", "input", "5"), row("gpt", "output", "15"))
DOUBLE = (row("gpt", "input", "10"), row("gpt", "output", "30"))
PRICE = Decimal("0.002129600")  # CHF by BOOK: (328 · 5 + 52 · 15) / 10⁶ · 0.8 · 1.1
DEBITS = """
    SELECT t.event_id, t.amount, t.price_given, t.price_computed, t.recorded_at, s.kind, s.version_id
      FROM transactions t JOIN stamps s ON s.id = t.stamp_id WHERE t.reference_type = 'WORKFLOW'
"""


def sent(**fields: object) -> dict[str, object]:
    """An event of contract version 2 without a price: what OpenAI answered."""
    return event(**{"price_chf": ..., "provider": "openai", "model": "gpt", "usage_dialect": "openai.chat", "usage": USAGE, **fields})


@pytest.fixture(autouse=True)
def books(put_mandate: PutMandate, database: Database, breaches: Callable[[], object], rows: Rows) -> Iterator[None]:
    """The mandate acme, which pays computed prices for a day already: a dollar is worth 0.8 CHF, and 10 % are put on it.

    Whatever a test does, the books keep every invariant.
    """
    put_mandate("acme", users=["ada"])
    rates = [GivenRate("USD", (NOW - timedelta(days=days)).date(), Decimal("0.8")) for days in (1, 2, 3)]
    import_fx(database, ROOT, rates, source="test", created_by="olga")
    add_rule(database, ROOT, markup_percent=Decimal(10), created_by="olga")
    set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=NOW - timedelta(days=1))
    yield
    balances_agree(rows)
    assert not breaches()


@both_brokers
def test_a_version_that_is_accepted_under_load_prices_what_comes_after_it(
    broker: Broker, start_worker: StartWorker, database: Database, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """Two worker processes on one queue: what either begins to record after the acceptance has the new version's stamp, each amount is that of
    its stamp's version, and each event is recorded once.
    """
    first = accepted(database, BOOK)
    workers = [start_worker(name=f"w{n}", TOLLBOOK_INTAKE_BATCH_MESSAGES="20") for n in range(2)]
    events = [sent() for _ in range(1400)]
    for worker in workers:
        worker.ready()
    broker.put("usage", *map(message, events[:900]))
    eventually(lambda: counts()["recorded"] >= 200, "they have begun")
    second = accepted(database, DOUBLE)
    (since,) = rows("SELECT clock_timestamp() AS moment")
    broker.put("usage", *map(message, events[900:]))
    eventually(is_drained, "every message is acknowledged")
    debits = rows(DEBITS)
    assert sorted(str(one["event_id"]) for one in debits) == sorted(str(one["event_id"]) for one in events)
    assert {(one["version_id"], one["amount"]) for one in debits} == {(first, PRICE), (second, 2 * PRICE)}
    later = [one["version_id"] for one in debits if one["recorded_at"] > since["moment"]]
    assert len(later) >= 500
    assert set(later) == {second}
    (recorders,) = rows("SELECT count(DISTINCT worker) n FROM batches WHERE recorded > 0")
    assert recorders["n"] == 2


@both_brokers
@pytest.mark.long
@pytest.mark.timeout(900)
def test_versions_that_come_and_workers_that_die_mix_no_prices(
    broker: Broker, start_worker: StartWorker, database: Database, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """Twenty versions under load, each with a worker killed amid a batch: each amount is that of its stamp's version, each event is there once."""
    price_of = {accepted(database, BOOK): PRICE}
    workers = [start_worker(name=f"w{n}", TOLLBOOK_INTAKE_BATCH_MESSAGES="20").ready() for n in range(2)]
    events = [sent() for _ in range(20_000)]
    for n in range(20):
        broker.put("usage", *map(message, events[n * 1000 : (n + 1) * 1000]))
        kill_amid_a_batch(workers.pop(0), broker)
        price_of[accepted(database, (BOOK, DOUBLE)[n % 2 == 0])] = (PRICE, 2 * PRICE)[n % 2 == 0]
        workers.append(start_worker(name=f"r{n}", TOLLBOOK_INTAKE_BATCH_MESSAGES="20").ready())
    eventually(is_drained, "every message is acknowledged", seconds=300)
    debits = rows(DEBITS)
    assert sorted(str(one["event_id"]) for one in debits) == sorted(str(one["event_id"]) for one in events)
    assert [one for one in debits if one["amount"] != price_of[one["version_id"]]] == []
    assert len({one["version_id"] for one in debits}) > 10
    assert counts()["recorded"] == 20_000


def test_each_event_is_billed_by_the_mode_of_its_own_time(
    broker: Broker, start_worker: StartWorker, database: Database, rows: Rows, counts: Counts, is_drained: IsDrained
) -> None:
    """Given, shadow, computed and given again, with 5,000 messages in flight and a worker killed amid a batch: none is lost or refused."""
    accepted(database, BOOK)
    workers = [start_worker(name=f"w{n}", TOLLBOOK_INTAKE_BATCH_MESSAGES="50") for n in range(2)]
    for worker in workers:
        worker.ready()
    expected: dict[str, tuple[str, Decimal, Decimal | None]] = {}
    billed = {
        Mode.GIVEN: ("given", Decimal("0.5"), None),
        Mode.SHADOW: ("rated", Decimal("0.5"), PRICE),
        Mode.COMPUTED: ("rated", PRICE, None),
    }
    for turn, mode in enumerate((Mode.GIVEN, Mode.SHADOW, Mode.COMPUTED, Mode.GIVEN)):
        set_mode(database, ROOT, "acme", mode, created_by="olga")
        some = [sent(price_chf="0.5", occurred_at=utc_now().isoformat()) for _ in range(1250)]
        broker.put("usage", *map(message, some))
        expected |= {str(one["event_id"]): billed[mode] for one in some}
        if turn == 2:
            kill_amid_a_batch(workers[0], broker)
            start_worker(name="again", TOLLBOOK_INTAKE_BATCH_MESSAGES="50")
    eventually(is_drained, "every message is acknowledged")
    debits = rows(DEBITS)
    assert len(debits) == len(expected) == 5000
    assert {one["event_id"]: (one["kind"], one["amount"], one["price_computed"]) for one in debits} == expected
    assert {one["price_given"] for one in debits} == {Decimal("0.5")}
    outcomes = counts()
    assert (outcomes["recorded"], outcomes["conflict"], outcomes["rejected"], outcomes["parked"]) == (5000, 0, 0, 0)


def test_a_model_without_a_price_waits_for_one_and_is_recorded_by_itself(
    broker: Broker, start_worker: StartWorker, producer: Celery, database: Database, rows: Rows, counts: Counts
) -> None:
    """Parked, counted for Prometheus and warned of once in the log; the scheduled release records it once a version has its price."""
    accepted(database, BOOK)
    port = free_port()
    broker.put("usage.json", body_of([sent(model="gpt-next"), sent(), sent(model="gpt-next"), sent(service_tier="priority")]))
    worker = start_worker(TOLLBOOK_METRICS_PORT=str(port)).ready()
    eventually(lambda: counts()["parked"] == 3, "what has no price is parked")
    eventually(lambda: worker.says('"event": "prices.missing"'), "the log tells")
    (told,) = (json.loads(line) for line in worker.output().splitlines() if '"prices.missing"' in line)
    assert (told["level"], told["parked"], told["reasons"]) == ("warning", 3, {"unknown_tier": 1, "unpriced_model": 2})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert 'tollbook_unpriced_events_total{mode="computed",reason="unpriced_model"} 2.0' in answer.read().decode()
    version = accepted(database, (row("gpt-next", "input", "10"), row("gpt-next", "output", "30")))
    producer.send_task("parked.release", queue="maintenance")
    eventually(lambda: counts()["recorded"] == 3, "it is released")
    assert [(one["amount"], one["version_id"]) for one in rows(f"{DEBITS} AND t.model = 'gpt-next'")] == [(2 * PRICE, version)] * 2
    assert rows("SELECT reason FROM parked_events") == [{"reason": "unknown_tier"}]


# What SDKs answer, as it stands, and the classes that it comes to.
OF_SDKS: list[tuple[str, dict[str, Any], str]] = [
    (
        "openai.chat",
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "input=86,cache_read=1920,output=300",
    ),
    (
        "openai.responses",
        {
            "input_tokens": 328,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 52,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 380,
        },
        "input=328,output=52",
    ),
    (
        "anthropic.messages",
        {
            "input_tokens": 2,
            "cache_creation_input_tokens": 7262,
            "cache_read_input_tokens": 13923,
            "output_tokens": 300,
            "service_tier": "standard",
        },
        "input=2,cache_read=13923,cache_write=7262,output=300",
    ),
    (
        "google.generate_content",
        {"promptTokenCount": 10, "candidatesTokenCount": 20, "thoughtsTokenCount": 5, "totalTokenCount": 35},
        "input=10,output=20,output_reasoning=5",
    ),
    (
        "bedrock.converse",
        {"inputTokens": 18, "outputTokens": 386, "totalTokens": 7906, "cacheReadInputTokens": 7502, "cacheWriteInputTokens": 0},
        "input=18,cache_read=7502,output=386",
    ),
]


def test_a_usage_object_comes_through_every_door(
    broker: Broker, start_worker: StartWorker, producer: Celery, database: Database, rows: Rows, counts: Counts, environment: Any, tmp_path: Path
) -> None:
    """Stock Celery with typed values beside it, plain JSON, an array, a CloudEvent and `tollbook publish`: each is billed and kept as it came."""
    accepted(database, BOOK)
    typed = {"price_chf": Decimal("0.1"), "occurred_at": OCCURRED_AT, "reported_cost": {"amount": Decimal("0.0030"), "currency": "USD"}}
    producer.send_task("usage.record", args=[sent(event_id="celery", **typed)], queue="usage")
    producer.send_task("usage.record_batch", kwargs={"events": [sent(event_id="celery-batch")]}, queue="usage")
    whole = sent(event_id="cloud-event")
    cloud = {"specversion": "1.0", "type": "ai.usage", "source": "/gw", "id": whole.pop("event_id"), "time": whole.pop("occurred_at"), "data": whole}
    broker.put("usage.json", body_of(sent(event_id="plain")), body_of([sent(event_id="array")]), body_of(cloud))
    file = tmp_path / "usage.jsonl"
    gateway = sent(event_id="gateway", mandate_id="given", price_chf="PRICE", usage_dialect="openrouter.chat", usage={**USAGE, "cost": "COST"})
    numbers = body_of(gateway).replace(b'"PRICE"', b"0.2500000001").replace(b'"COST"', b"1.50e-3")
    file.write_bytes(numbers + b"\n" + body_of(sent(event_id="published", description="Zürich \\")) + b"\n")
    command = [sys.executable, "-m", "cli.main", "publish", str(file), "--batch", "10"]
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sdks = [sent(event_id=dialect, usage_dialect=dialect, usage=usage, model="another") for dialect, usage, _ in OF_SDKS]
    broker.put("usage.json", body_of([{**one, "mandate_id": "given", "price_chf": "0.001"} for one in sdks]))
    start_worker(TOLLBOOK_UNKNOWN_MANDATES="create").ready()
    names = {"celery", "celery-batch", "plain", "array", "cloud-event", "published"}
    eventually(lambda: sum(counts().values()) == len(names) + 1 + len(OF_SDKS), "every event is settled")
    assert rows("SELECT detail FROM dead_letters UNION ALL SELECT reason FROM parked_events") == []
    assert {one["event_id"]: one["amount"] for one in rows(f"{DEBITS} AND t.mandate_id = 'acme'")} == dict.fromkeys(names, PRICE)
    assert rows("SELECT amount FROM transactions WHERE event_id = 'gateway'") == [{"amount": Decimal("0.25")}]
    objects = rows(r"""
        SELECT t.event_id, format(s.shape, VARIADIC string_to_array(t.usage_values, E'\n')) AS usage, t.leaves
          FROM transactions t JOIN usage_shapes s ON s.id = t.usage_shape
    """)
    came = {one["event_id"]: one["usage"] for one in objects}
    compact: Callable[[object], str] = lambda value: json.dumps(value, separators=(",", ":"), sort_keys=True)  # noqa: E731 - one line says it all
    assert {name: came[name] for name in names} == {name: compact(USAGE) for name in names}
    assert came["gateway"] == '{"completion_tokens":52,"cost":0.0015,"prompt_tokens":328,"total_tokens":380}'
    dialects = {dialect: leaves for dialect, _, leaves in OF_SDKS}
    assert {one["event_id"]: one["leaves"] for one in objects if one["event_id"] in dialects} == dialects
