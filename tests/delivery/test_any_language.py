"""Producers in any language: the documents' examples, run as they stand, and the same event out of each language."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import pytest
import redis
from celery import Celery

from lab.process import moved_clock
from tests.conftest import Rows
from tests.delivery.conftest import ROOT, StartWorker, eventually
from tests.sample_events import body_of, event

Counts = Callable[[], dict[str, int]]
PACKAGES = Path(__file__).parent / "producers"
PATIENT = {"TOLLBOOK_LATENESS_DAYS": "36500"}  # the documents' dates grow old
_EXAMPLE = re.compile(r"^```(python|js|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPECIAL = "Zürich 東京 \U0001f9fe \\ \" ' </>"

pytestmark = pytest.mark.usefixtures("acme")


class Programs:
    """Runs programs as a producer's machine would: in a folder of their own, with the broker's URL and nothing of this project."""

    def __init__(self, folder: Path, broker_url: str) -> None:
        self.folder = folder
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._environment = {**kept, **moved_clock(), "CELERY_BROKER_URL": broker_url}

    def run(self, *command: str, given: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            command, input=given, cwd=folder or self.folder, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )

    def succeed(self, *command: str, given: str = "", folder: Path | None = None) -> str:
        """Runs a command that must end well; what it wrote."""
        ended = self.run(*command, given=given, folder=folder)
        assert ended.returncode == 0, f"{command[0]}:\n{given}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout


def missing(told: str) -> NoReturn:
    """Skips the test, or fails it where the run must be complete."""
    if os.environ.get("TOLLBOOK_TEST_PRODUCERS") == "required":
        pytest.fail(told)
    pytest.skip(told)


def program(name: str, package: str) -> str:
    """Where a program is that the tests don't bring along."""
    if (found := shutil.which(name)) is None:
        missing(f"{name} is not installed; on Debian: apt-get install {package}")
    return found


@pytest.fixture
def programs(tmp_path: Path, broker_url: str) -> Programs:
    """Runs the producers of this test."""
    folder = tmp_path / "producer"
    folder.mkdir()
    return Programs(folder, broker_url)


@pytest.fixture
def redis_cli() -> str:
    """Where redis-cli is."""
    return program("redis-cli", "redis-tools")


def packages(of: Path) -> Path:
    """A folder with the packages of a lock file: installed once, and kept for the next run."""
    npm = program("npm", "npm")
    digest = hashlib.sha256((of / "package-lock.json").read_bytes()).hexdigest()
    folder = ROOT / ".local" / "test-producers" / digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(of / name, folder / name)
            now = {name: value for name, value in os.environ.items() if name not in moved_clock()}  # the registry's certificate is of today
            ended = subprocess.run([npm, "ci"], cwd=folder, env=now, capture_output=True, text=True, timeout=100, check=False)
            if ended.returncode != 0:
                missing(f"npm can't install the packages of {of.relative_to(ROOT)}: {ended.stderr[-500:]}")
            (folder / "installed").touch()
    return folder


@pytest.fixture(scope="session")
def node() -> tuple[str, Path]:
    """Where Node.js is, and a folder with the packages of the lock file."""
    executable, folder = program("node", "nodejs"), packages(PACKAGES)
    for source in PACKAGES.glob("*.mjs"):
        shutil.copy(source, folder / source.name)
    return executable, folder


_SENDS = {"sh": "redis-cli", "python": "send_task"}  # the others show something else


def examples(language: str) -> list[str]:
    """The documents' examples in this language that send something to Redis or Valkey; those for RabbitMQ stand in a part of their own."""
    texts = [(ROOT / name).read_text(encoding="utf-8").partition("\n## RabbitMQ\n")[0] for name in ("README.md", "docs/producers.md")]
    blocks = [code for text in texts for found, code in _EXAMPLE.findall(text) if found == language]
    return [code for code in blocks if _SENDS.get(language, "") in code]


def booked(rows: Rows) -> dict[str, tuple[str, Decimal]]:
    """User and amount of each debit, by the end of its event id; no event was refused."""
    assert rows("SELECT reason, detail FROM dead_letters") == []
    found = rows("SELECT event_id, created_by_user_id, amount FROM transactions WHERE transaction_type = 'DEBIT'")
    return {row["event_id"][-2:]: (row["created_by_user_id"], row["amount"]) for row in found}


def sent(expected: Mapping[str, tuple[str, str]], rows: Rows, is_drained: Callable[[], bool]) -> None:
    """Waits until everything is settled: exactly the events with these ends of their ids are booked, for these users and prices."""
    eventually(is_drained, "every message is acknowledged")
    assert booked(rows) == {name: (user, Decimal(price)) for name, (user, price) in expected.items()}


def test_the_examples_in_python_record_what_they_say(
    programs: Programs, start_worker: StartWorker, rows: Rows, is_drained: Callable[[], bool]
) -> None:
    """Stock Celery sends one event and a batch, with Decimal, datetime and UUID objects and a CloudEvent in it."""
    for code in examples("python"):
        programs.succeed(sys.executable, "-I", "-", given=code)
    start_worker(**PATIENT).ready()
    expected = {"00": ("ada", "0.0042"), "01": ("ada", "0.0042"), "02": ("ada", "0.003333333"), "03": ("bob", "0.0001")}
    sent(expected, rows, is_drained)


def test_the_examples_for_the_shell_record_what_they_say(
    redis_cli: str, programs: Programs, start_worker: StartWorker, rows: Rows, is_drained: Callable[[], bool]
) -> None:
    """`redis-cli` sends one event, an array, and a CloudEvent."""
    (programs.folder / "event.json").write_bytes(body_of(event(event_id="of-the-readme-ff")))
    for code in examples("sh"):
        assert programs.succeed("sh", "-eu", given=code).strip().isdecimal()
    start_worker(**PATIENT).ready()
    expected = {"ff": ("ada", "0.25"), "06": ("ada", "0.0042"), "07": ("ada", "0.0042"), "08": ("bob", "0.0001")}
    sent(expected, rows, is_drained)


def test_the_examples_for_nodejs_record_what_they_say(
    node: tuple[str, Path], programs: Programs, start_worker: StartWorker, rows: Rows, is_drained: Callable[[], bool]
) -> None:
    """`celery-node` sends Celery messages of one event and of many, a plain Redis client JSON of one and an array."""
    executable, folder = node
    for code in examples("js"):
        programs.succeed(executable, "--input-type=module", "-", given=code, folder=folder)
    start_worker(**PATIENT).ready()
    sent(dict.fromkeys(("04", "05", "09", "0a"), ("ada", "0.0042")), rows, is_drained)


def test_the_same_event_out_of_every_language_is_one_event(
    node: tuple[str, Path],
    redis_cli: str,
    programs: Programs,
    producer: Celery,
    broker_url: str,
    queue: redis.Redis,
    start_worker: StartWorker,
    counts: Counts,
    rows: Rows,
    is_drained: Callable[[], bool],
) -> None:
    """One event with text beyond ASCII, sent in every way of Python, of Node.js and by redis-cli, in both protocols, as
    itself and as a CloudEvent, is recorded once; every other copy is a duplicate, never a conflict.
    """
    id_, at = UUID("0199c0de-7a11-7000-8000-000000000001"), datetime(2026, 1, 31, 11, 0, 0, 250_000, tzinfo=UTC)
    usage = {"input_tokens": 2**53 - 1, "output_tokens": 0}
    one = event(event_id=str(id_), price_chf="0.1", occurred_at=at.isoformat(), model=_SPECIAL, feature_code="ß", usage=usage)
    typed = {**one, "event_id": id_, "price_chf": Decimal("0.1000"), "occurred_at": at}
    with Celery("old", broker=broker_url, set_as_current=False, task_protocol=1) as old:
        for app in (producer, old):
            app.send_task("usage.record", args=[one], queue="usage")
            app.send_task("usage.record", kwargs={"event": typed}, queue="usage", priority=6)
            app.send_task("usage.record_batch", kwargs={"events": [one, typed]}, queue="usage")
    programs.succeed(node[0], "every_way.mjs", json.dumps(one), folder=node[1])
    (programs.folder / "one.json").write_bytes(body_of(one))
    programs.succeed("sh", "-c", f'{redis_cli} -e -u "$CELERY_BROKER_URL" -x LPUSH usage.json < one.json')
    deliveries = 2 * 4 + 2 * 4 + 4 + 1
    start_worker(**PATIENT).ready()
    eventually(is_drained, "every message is acknowledged")
    assert counts() == {"recorded": 1, "duplicate": deliveries - 1, "conflict": 0, "rejected": 0, "parked": 0}
    (row,) = rows("SELECT amount, model, feature_code, input_tokens, occurred_at FROM transactions WHERE transaction_type = 'DEBIT'")
    assert row == {"amount": Decimal("0.1"), "model": _SPECIAL, "feature_code": "ß", "input_tokens": 2**53 - 1, "occurred_at": at}


def test_arrays_are_as_good_as_their_elements(
    producer: Celery, queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Counts, is_drained: Callable[[], bool]
) -> None:
    """Of a full array, plain or in a Celery message, only the bad element becomes a dead letter, with its own bytes; an empty
    one is nothing, one event too many refuses the whole, and an array in an array is no event.
    """
    bad = {kind: body_of(event(user_id=f"of-{kind}", price_chf="-1")) for kind in ("plain", "celery")}
    array = [body_of(event()) for _ in range(999)]
    queue.lpush("usage.json", b"[" + b",".join([*array[:500], bad["plain"], *array[500:]]) + b"]", b" []", b"[[]]")
    queue.lpush("usage.json", b"[" + b",".join(body_of(event()) for _ in range(1001)) + b"]")
    producer.send_task("usage.record_batch", args=[[*(event() for _ in range(999)), json.loads(bad["celery"])]], queue="usage")
    producer.send_task("usage.record_batch", args=[[]], queue="usage")
    start_worker().ready()
    eventually(is_drained, "every message is acknowledged")
    letters = rows("SELECT reason, body, origin FROM dead_letters ORDER BY reason, origin")
    assert [(row["reason"], row["origin"]) for row in letters] == [
        ("invalid_field", "usage.json"),
        ("invalid_field", "usage/usage.record_batch"),
        ("malformed_json", "usage.json"),
        ("too_many_events", "usage.json"),
    ]
    assert [bytes(row["body"]) for row in letters[:3]] == [bad["plain"], bad["celery"], b"[]"]
    assert counts() == {"recorded": 1998, "duplicate": 0, "conflict": 0, "rejected": 4, "parked": 0}


@pytest.mark.parametrize("client", ["celery", "redis-cli", "celery-node", "redis"])
def test_a_producer_is_told_that_the_broker_refuses(client: str, request: pytest.FixtureRequest, programs: Programs, queue: redis.Redis) -> None:
    """With the broker's memory full each documented way of sending ends with an error, and nothing is on a queue."""
    in_node, folder = request.getfixturevalue("node") if client in ("celery-node", "redis") else ("", None)
    if client == "redis-cli":
        request.getfixturevalue("redis_cli")
    code, *command = {
        "celery": (examples("python")[1], sys.executable, "-I", "-"),
        "redis-cli": (examples("sh")[1], "sh", "-eu"),
        "celery-node": (examples("js")[0], in_node, "--input-type=module", "-"),
        "redis": (examples("js")[1], in_node, "--input-type=module", "-"),
    }[client]
    queue.config_set("maxmemory", 1)
    try:
        ended = programs.run(*command, given=code, folder=folder)
    finally:
        queue.config_set("maxmemory", 0)
    assert ended.returncode != 0
    assert re.search("OOM|'maxmemory'", ended.stdout + ended.stderr), ended.stderr
    assert queue.dbsize() == 0
