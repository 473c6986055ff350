"""Holds and caps over real brokers: the snippets of docs/checks.md as they stand, many callers at once, and what is left of those that die."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from core.asking.rights import ROOT
from core.checks.check_balance import BalanceQuestion, check_balance
from core.config import Configuration
from core.database.database import Database
from tests.conftest import Rows
from tests.delivery.conftest import StartWorker, both_brokers, eventually
from tests.delivery.test_any_language import Programs, node, programs
from tests.delivery.test_checks import DOCUMENT, ask
from tests.holds.asking import Holds
from tests.prices.scene import accepted, row
from tests.reports.priced_scene import put_prices
from tests.sample_events import NOW, event
from tests.scene import Breaches, PutSettings

__all__ = ["ask", "node", "programs"]
Ask = Callable[..., Any]
BLOCKS = re.findall(r"^```(?:python|js)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
AHEAD = 12 - NOW.hour  # of UTC, in hours: where it is some time after noon
USED = "SELECT FROM transactions WHERE reference_type = 'WORKFLOW'"
HOLDS = "SELECT user_id, state, amount, captured, released, use_count, late_count FROM holds ORDER BY authorised_at"


def snippet(text: str) -> str:
    """The one snippet of the document in which this stands."""
    (found,) = [block for block in BLOCKS if text in block]
    return str(found)


def service(broker_url: str, *blocks: str) -> str:
    """A service made of snippets, by the one for its broker first."""
    own = snippet("task_create_missing_queue_type" if broker_url.startswith("amqp") else "redis.Redis.from_url")
    return "\n".join([re.sub(r'(?m)^BROKER = ".*"$', f"BROKER = {broker_url!r}", own), *blocks])


FUNCTIONS = snippet("class Refused").partition("\nprint(")[0]


@pytest.fixture(autouse=True)
def settings(put_settings: PutSettings, breaches: Breaches) -> Iterator[None]:
    """The mandate acme, whose users have CHF 1 each, some time after noon; whatever a test does, the books keep every invariant."""
    put_settings(users=["ada", "bob"], default_user_credit=1, time_zone=f"Etc/GMT{-AHEAD:+d}" if AHEAD else "Etc/GMT")
    yield
    assert not breaches()


@pytest.fixture
def open_ada(database: Database, config: Configuration) -> None:
    """Her account is there, with its CHF 1."""
    assert check_balance(database, ROOT, BalanceQuestion.read({"mandate_id": "acme", "user_id": "ada"}), config=config).available == 1


def settled(rows: Rows, count: int) -> list[dict[str, Any]]:
    """The holds, once so many are not open any more."""
    eventually(lambda: len(rows("SELECT FROM holds WHERE state <> 'OPEN'")) == count, f"{count} holds are settled")
    return rows(HOLDS)


def hold(state: str, amount: str, captured: str = "0", released: str = "0", uses: int = 0) -> dict[str, Any]:
    """One of ada, as `HOLDS` reads it."""
    amounts = {"amount": Decimal(amount), "captured": Decimal(captured), "released": Decimal(released)}
    return {"user_id": "ada", "state": state, **amounts, "use_count": uses, "late_count": 0}


@both_brokers
def test_the_snippets_in_python_hold_call_and_send(
    programs: Programs, broker_url: str, start_worker: StartWorker, rows: Rows, database: Database
) -> None:
    """One call, an agent of three, one that used nothing, an estimate without a price and one with: what they held is as they say."""
    start_worker(TOLLBOOK_INTAKE_THREADS="1").ready()  # two may record the agent's last event before another one
    failing = "def call_model(prompt):\n    raise NothingUsed\n\n\ntry:\n    answer_for('ada', '')\nexcept NothingUsed:\n    pass"
    code = service(broker_url, snippet("class Refused"), snippet("def run_agent"), snippet("estimated_usage="), failing)
    first, second = programs.succeed(sys.executable, "-I", "-", given=code).splitlines()
    assert first == "an answer to 'the question'"
    assert second.startswith("None UNPRICED_MODEL unpriced_model: no row is for openai gpt-example "), second
    assert settled(rows, 3) == [
        hold("CAPTURED", "0.03", "0.021", "0.009", 1),
        hold("CAPTURED", "0.2", "0.063", "0.137", 3),
        hold("RELEASED", "0.03", "0", "0.03"),
    ]
    assert rows("SELECT balance, held FROM accounts") == [{"balance": Decimal("0.916"), "held": 0}]
    put_prices(database, rows)
    accepted(database, [row("gpt-example", "input", "5"), row("gpt-example", "output", "30")])
    priced = service(broker_url, FUNCTIONS, snippet("estimated_usage="))
    told = programs.succeed(sys.executable, "-I", "-", given=priced).split()
    assert told == ["0.105600000", "None", "None"]  # (12,000 · 5 + 2,000 · 30) / 10⁶ dollars · 0.8 · 1.1


def test_the_snippet_for_nodejs_holds_calls_and_sends(node: tuple[str, Path], programs: Programs, start_worker: StartWorker, rows: Rows) -> None:
    """It asks, is answered, sends its event, and gives back what a call that used nothing had held."""
    start_worker().ready()
    code = snippet("createClientPool")
    executable, folder = node
    assert programs.succeed(executable, "--input-type=module", "-", given=code, folder=folder) == "an answer to the question\n"
    failing = re.sub(r"return \{ text: .*", "throw new NothingUsed();", code)
    assert "NothingUsed" in programs.run(executable, "--input-type=module", "-", given=failing, folder=folder).stderr
    assert settled(rows, 2) == [hold("CAPTURED", "0.03", "0.021", "0.009", 1), hold("RELEASED", "0.03", "0", "0.03")]


_WAITING = """
    SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
     WHERE d.datname = current_database() AND l.locktype = 'tuple' AND l.relation = 'accounts'::regclass
"""
_CALLERS = """
import json
import sys
from concurrent.futures import ThreadPoolExecutor

name, count = sys.argv[1], int(sys.argv[2])


def call(number):
    key = f"{name}-{number}"
    hold = authorise(attempts=20, mandate_id="acme", user_id="ada", key=key, amount="0.03")
    return key, hold["allowed"], hold["reason"]


print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(count) as pool:
    print(json.dumps(list(pool.map(call, range(count)))))
"""


@pytest.mark.usefixtures("open_ada")
@pytest.mark.parametrize(("broker_kind", "processes", "threads"), [("redis", 8, 25), ("rabbitmq", 4, 10)])
def test_exactly_as_many_callers_are_allowed_as_the_balance_is_enough_for(
    broker_url: str,
    processes: int,
    threads: int,
    producer: Celery,
    start_worker: StartWorker,
    owner_database: Database,
    rows: Rows,
    tmp_path: Path,
) -> None:
    """Of 200 at once, in eight processes, 33 may hold 3 centimes of one franc, though one of two workers is killed in the middle of it.

    Who was not answered has asked again, under the same key. The events of the 33 take what was held.
    """
    workers = [start_worker("-Q", "checks,usage", name=name) for name in ("first", "second")]
    script = tmp_path / "callers.py"
    script.write_text(service(broker_url, FUNCTIONS, _CALLERS))
    with ExitStack() as started:
        callers = [
            started.enter_context(
                subprocess.Popen([sys.executable, script, f"p{n}", str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for n in range(processes)
        ]
        assert all(caller.stdout and caller.stdout.readline() == "ready\n" for caller in callers)
        for worker in workers:
            worker.ready()
        with owner_database.transaction() as connection:
            connection.exec_driver_sql("SELECT FROM accounts FOR NO KEY UPDATE")
            for caller in callers:
                assert caller.stdin
                caller.stdin.write("go\n")
                caller.stdin.flush()
            eventually(lambda: len(rows(_WAITING)) == 2, "both workers have inserted holds and wait for the account", 30)
            workers[0].kill()
        answers = [answer for caller in callers for answer in json.loads(caller.communicate(timeout=60)[0])]
    allowed = {key for key, is_allowed, _ in answers if is_allowed}
    assert (len(answers), len(allowed)) == (processes * threads, 33)
    assert {reason for _, _, reason in answers} == {None, "INSUFFICIENT_BALANCE"}
    assert {row["hold_key"] for row in rows("SELECT hold_key FROM holds WHERE state = 'OPEN'")} == allowed
    assert rows("SELECT balance, held FROM accounts") == [{"balance": 1, "held": Decimal("0.99")}]
    used = [event(event_id=key, price_chf="0.03", hold_key=key) for key in sorted(allowed)]
    producer.send_task("usage.record_batch", kwargs={"events": used}, queue="usage", ignore_result=True)
    assert {one["state"] for one in settled(rows, 33)} == {"CAPTURED"}
    assert rows("SELECT balance, held FROM accounts") == [{"balance": Decimal("0.01"), "held": 0}]


_DYING = """
hold = authorise(mandate_id="acme", user_id="ada", key="of-the-dead", amount="1", ttl_seconds=2)
print(hold["allowed"], hold["available"], flush=True)
time.sleep(60)
"""


def test_what_a_killed_caller_held_is_free_after_its_ttl_and_listed(
    broker_url: str, ask: Ask, producer: Celery, start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    """Answers leave it out at once; the sweep settles it, and it is listed as authorised and never billed until its event comes after all."""
    start_worker().ready()
    script = tmp_path / "dying.py"
    script.write_text(service(broker_url, FUNCTIONS, _DYING))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        said = caller.stdout.readline()
        caller.kill()
    assert said == "True 0.000000000\n"
    wanted = {"mandate_id": "acme", "user_id": "ada", "estimated_cost": "1"}
    eventually(lambda: ask("balance.check", **wanted)["result"]["allowed"], "its money is free again", 20)
    assert rows("SELECT state FROM holds") == [{"state": "OPEN"}]  # by the clock alone

    def unbilled() -> list[Any]:
        return ask("view.expired_holds", "views", actor={"role": "root"})["result"]  # type: ignore[no-any-return]

    producer.send_task("hold.expire", queue="maintenance", ignore_result=True)
    (listed,) = eventually(unbilled, "it is listed")
    assert (listed["hold_key"], listed["amount"], listed["age_seconds"] >= 2) == ("of-the-dead", "1.000000000", True)
    late = event(event_id="of-the-dead", price_chf="0.4", hold_key="of-the-dead")
    producer.send_task("usage.record", kwargs={"event": late}, queue="usage", ignore_result=True)
    eventually(lambda: not unbilled(), "its event takes it off the list")
    assert rows("SELECT balance, held FROM accounts") == [{"balance": Decimal("0.6"), "held": 0}]
    assert rows("SELECT state, captured, expired, late_count FROM holds") == [{"state": "EXPIRED", "captured": 0, "expired": 1, "late_count": 1}]


def test_a_cap_of_a_day_refuses_tells_once_and_opens_at_midnight(
    ask: Ask, queue: redis.Redis, producer: Celery, start_worker: StartWorker, rows: Rows, database: Database, config: Configuration
) -> None:
    """CHF 5 a day for ada: at 5 she is refused, bob isn't; 50, 80 and 100 % are told once, on the broker's queue."""
    start_worker(TOLLBOOK_ALERTS_QUEUE_MAX="1000").ready()
    ask("settings.update", "movements", mandate_id="acme", by="olga", changes={"default_user_credit": "10"})
    limit = {"mandate_id": "acme", "by": "olga", "user_id": "ada", "period": "DAY", "limit_chf": "5"}
    assert ask("caps.set", "movements", **limit)["result"]["done"] == "CREATED"

    whose = {"mandate_id": "acme", "user_id": "ada"}

    def use(count: int, **fields: object) -> None:
        before = len(rows(USED))
        for _ in range(count):
            producer.send_task("usage.record", kwargs={"event": event(**fields)}, queue="usage", ignore_result=True)
        eventually(lambda: len(rows(USED)) == before + count, "it is recorded")

    use(19)
    assert ask("hold.authorise", **whose, key="last", amount="0.2")["result"]["allowed"]  # 4.75 and 0.2 are less than 5
    use(1, hold_key="last")
    refused = ask("hold.authorise", **whose, key="refused", amount="0.01")["result"]
    assert (refused["allowed"], refused["reason"], refused["cap"]["spent"], refused["cap"]["held"]) == (
        False,
        "CAP_EXCEEDED",
        "5.000000000",
        "0.000000000",
    )
    assert ask("balance.check", **whose)["result"]["reason"] == "CAP_EXCEEDED"
    assert ask("hold.authorise", mandate_id="acme", user_id="bob", key="bob", amount="0.01")["result"]["allowed"]
    use(1)  # is recorded all the same, and tells nothing more
    for _ in range(2):
        producer.send_task("alerts.publish", queue="maintenance", ignore_result=True)
    eventually(lambda: not rows("SELECT FROM cap_alerts WHERE published_at IS NULL"), "all are told")
    told = [json.loads(body) for body in queue.lrange("balance.alerts", 0, -1)]
    assert [(one["kind"], one["user_id"], one["share"]) for one in reversed(told)] == [("CAP", "ada", share) for share in (50, 80, 100)]
    local = NOW + timedelta(hours=AHEAD)
    midnight = local.replace(hour=0, minute=0, second=0) + timedelta(days=1, hours=-AHEAD)
    assert datetime.fromisoformat(refused["cap"]["opens_at"]) == midnight
    holds = Holds(database, config)
    assert holds.authorise("too-soon", "0.01", at=midnight - timedelta(microseconds=1)).reason == "CAP_EXCEEDED"
    assert holds.authorise("tomorrow", "0.01", at=midnight).allowed
