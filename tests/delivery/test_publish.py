"""`tollbook publish` against a real Valkey: what stands in the queue afterwards."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from lab.process import temporary_dir
from lab.valkey import ValkeyServer
from tests.delivery.conftest import eventually

ROOT = Path(__file__).resolve().parents[2]
EVENT = {"event_id": "e1", "mandate_id": "acme", "user_id": "ada", "price_chf": "0.25", "occurred_at": "2026-01-31T12:00:00Z"}


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey server of this module's own."""
    with temporary_dir() as folder:
        server = ValkeyServer(folder / "valkey", appendfsync="no")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def broker(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """A client of the module's broker, which is empty."""
    with redis.Redis.from_url(valkey.url()) as client:
        client.flushall()
        yield client


def _command(valkey_url: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    foreign = {name: value for name, value in os.environ.items() if not name.startswith(("TOLLBOOK_", "CELERY_", "REDIS_", "DATABASE_"))}
    environment = foreign | {"CELERY_BROKER_URL": valkey_url, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "PYTHONPATH": str(ROOT)}
    return [sys.executable, "-m", "cli.main", "publish", *arguments], environment


def _publish(url: str, *arguments: str, stdin: bytes = b"", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command, environment = _command(url, *arguments)
    done = subprocess.run(command, env=environment, input=stdin, cwd=folder, capture_output=True, timeout=60, check=False)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def _queued(broker: redis.Redis) -> list[tuple[str, bytes]]:
    """Each message of the queue, oldest first: its task, and the bytes of its body."""
    entries: Any = broker.lrange("usage", 0, -1)
    messages = [json.loads(entry) for entry in reversed(entries)]
    return [(message["headers"]["task"], base64.b64decode(message["body"])) for message in messages]


def _arguments(broker: redis.Redis) -> list[Any]:
    return [json.loads(body)[0][0] for _, body in _queued(broker)]


def test_each_line_of_jsonl_is_one_message(valkey: ValkeyServer, broker: redis.Redis, tmp_path: Path) -> None:
    """A file of three events becomes three `usage.record` messages with exactly these events, in their order."""
    events = [{**EVENT, "event_id": f"e{n}", "usage": {"input_tokens": n}} for n in range(3)]
    (tmp_path / "usage.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n\n")
    done = _publish(valkey.url(), str(tmp_path / "usage.jsonl"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("published 3 events in 3 messages (")
    assert [task for task, _ in _queued(broker)] == ["usage.record"] * 3
    assert _arguments(broker) == events


@pytest.mark.parametrize("price", ["0.1234567890123456789", "999999.123456789", "3.4E-7", "0.1", "12"])
def test_a_price_is_sent_as_it_was_written(valkey: ValkeyServer, broker: redis.Redis, price: str) -> None:
    """The digits of a price written as a JSON number stand in the queue as they stood in the file."""
    line = json.dumps({**EVENT, "price_chf": "PRICE"}).replace('"PRICE"', price)
    assert _publish(valkey.url(), "-", stdin=line.encode()).returncode == 0
    ((_, body),) = _queued(broker)
    expected = price if price == "12" else f'"{price}"'
    assert f'"price_chf": {expected},'.encode() in body


def test_standard_input_is_jsonl_and_batches_hold_n_events(valkey: ValkeyServer, broker: redis.Redis) -> None:
    """Five events at two per message become `usage.record_batch` messages of two, two and one, and `--json` counts them."""
    lines = "\n".join(json.dumps({**EVENT, "event_id": f"e{n}"}) for n in range(5))
    done = _publish(valkey.url(), "-", "--batch", "2", "--json", stdin=lines.encode())
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert (counted["published"], counted["messages"], counted["refused"]) == (5, 3, 0)
    assert [task for task, _ in _queued(broker)] == ["usage.record_batch"] * 3
    assert [[event["event_id"] for event in batch] for batch in _arguments(broker)] == [["e0", "e1"], ["e2", "e3"], ["e4"]]


def test_a_batch_stays_below_what_a_message_may_hold(valkey: ValkeyServer, broker: redis.Redis) -> None:
    """Thirty events of 60 kB at a thousand per message go out in messages of less than 1 MiB each."""
    lines = "\n".join(json.dumps({**EVENT, "event_id": f"e{n}", "description": "x" * 60_000}) for n in range(30))
    assert _publish(valkey.url(), "-", "--batch", "1000", stdin=lines.encode()).returncode == 0
    assert sum(len(batch) for batch in _arguments(broker)) == 30
    assert all(len(body) < 1024 * 1024 for _, body in _queued(broker))


def test_csv_columns_are_fields_and_token_columns_go_into_usage(valkey: ValkeyServer, broker: redis.Redis, tmp_path: Path) -> None:
    """A CSV row becomes an event: aliases are understood, empty cells are absent, token counts are integers in `usage`."""
    rows = [
        "eventId,mandate_id,user_id,price_chf,occurred_at,model,input_tokens,output_tokens",
        'e1,acme,ada,0.1234567890123456789,2026-01-31T12:00:00Z,"a, b",12,',
        "e2,acme,ada,1,2026-01-31T12:00:00Z,,,",
    ]
    (tmp_path / "usage.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    done = _publish(valkey.url(), str(tmp_path / "usage.csv"))
    assert done.returncode == 0, done.stderr
    first = {**EVENT, "price_chf": "0.1234567890123456789", "model": "a, b", "usage": {"input_tokens": 12}}
    assert _arguments(broker) == [first, {**EVENT, "event_id": "e2", "price_chf": "1"}]


def test_lines_that_are_no_event_are_named_and_left_out(valkey: ValkeyServer, broker: redis.Redis) -> None:
    """Of ten lines only the two good ones are published, each other one is named with its number, and the exit code is 1."""
    good = json.dumps(EVENT).encode()
    bad = [b"[1, 2]", b"not json", b'{"a": NaN}', b'{"a": 1, "a": 2}', b'"\xff"', b"[" * 100_000, b"x" * (1024 * 1024 + 1), b"7"]
    done = _publish(valkey.url(), "-", stdin=b"\n".join([good, *bad, good]))
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stderr.splitlines()] == [["line", str(n)] for n in range(2, 10)]
    assert "line 3 is not JSON: Expecting value: line 1 column 1 (char 0) (got b'not json')" in done.stderr
    assert "line 5 is no single record: key 'a' is given twice (got " in done.stderr
    assert done.stdout.startswith("published 2 events in 2 messages")
    assert "8 lines left out" in done.stdout
    assert _arguments(broker) == [EVENT, EVENT]


def test_csv_rows_that_do_not_fit_are_named_and_left_out(valkey: ValkeyServer, broker: redis.Redis) -> None:
    """A row with too few cells, a token count that is no whole number or broken UTF-8 is named with its line and left out."""
    header = b"event_id,mandate_id,user_id,price_chf,occurred_at,input_tokens"
    rows = [
        b"e1,acme,ada,0.25,2026-01-31T12:00:00Z,",
        b"e2,acme",
        b"e3,acme,ada,1,2026-01-31T12:00:00Z,1.5",
        b"e\xff,acme,ada,1,2026-01-31T12:00:00Z,1",
    ]
    done = _publish(valkey.url(), "-", "--format", "csv", stdin=b"\n".join([header, *rows]))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "line 3 has 2 fields, the header 6 (got 'e2,acme')",
        "line 4 input_tokens is not a whole number (got '1.5')",
        "line 5 event_id is not UTF-8 (got 'e\\udcff')",
    ]
    assert _arguments(broker) == [EVENT]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("event_id,colour", "the header has 'colour', which is not a field of the contract"),
        ("event_id,eventId", "the header has event_id twice"),
        ("event_id,mandate_id", "the header lacks user_id, price_chf, occurred_at"),
    ],
)
def test_a_csv_header_that_can_not_be_meant_stops_it(valkey: ValkeyServer, broker: redis.Redis, header: str, problem: str) -> None:
    """An unknown, repeated or missing column is one line on standard error and exit code 1, and nothing is published."""
    done = _publish(valkey.url(), "-", "--format", "csv", stdin=f"{header}\na,b\n".encode())
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {problem}")
    assert "accepted are cache_write_tokens, " in done.stderr
    assert "priceCHF" in done.stderr
    assert not broker.exists("usage")


def test_one_is_told_as_one(valkey: ValkeyServer, broker: redis.Redis) -> None:
    """One event in one message, one line left out: no plural."""
    done = _publish(valkey.url(), "-", stdin=json.dumps(EVENT).encode() + b"\nnonsense\n")
    assert done.stdout.startswith("published 1 event in 1 message (")
    assert done.stdout.endswith("; 1 line left out\n")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("sqs://127.0.0.1", "CELERY_BROKER_URL: sqs:// is not served; use redis:// or rediss://"),
        ("redis://127.0.0.1:1/usage", "CELERY_BROKER_URL: the database after the host is a number"),
    ],
)
def test_a_broker_that_no_worker_reads_is_refused(url: str, complaint: str) -> None:
    """Nothing is sent where no worker would find it: one line, the worker's own."""
    done = _publish(url, "-", stdin=json.dumps(EVENT).encode())
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(f"error: {complaint}")
    assert done.stderr.count("\n") == 1


def test_what_is_no_file_is_said_in_words(tmp_path: Path) -> None:
    """A folder is called one, and a file that isn't there is not called by an error number."""
    for file, complaint in ((tmp_path, f"{tmp_path} is a directory"), (tmp_path / "no.csv", f"there is no file {tmp_path / 'no.csv'}")):
        done = _publish("redis://127.0.0.1:1/0", str(file))
        assert (done.returncode, done.stdout) == (2, "")
        assert complaint in done.stderr
        assert "Errno" not in done.stderr


def test_an_unreachable_broker_is_one_line(tmp_path: Path) -> None:
    """Where nobody listens the command says so in one line, with what was published for sure, and exits with 7."""
    done = _publish("redis://127.0.0.1:1/0", "-", stdin=json.dumps(EVENT).encode(), folder=tmp_path)
    assert done.returncode == 7
    assert done.stderr.startswith("error: the broker does not take messages: ")
    assert "published 0 events in 0 messages" in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_tells_how_many_were_published(valkey: ValkeyServer, broker: redis.Redis) -> None:
    """Interrupted, it exits with 130 and tells the number that is in the queue, but for the one that was on its way at that moment."""
    command, environment = _command(valkey.url(), "-")
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(b"".join(json.dumps({**EVENT, "event_id": f"e{n}"}).encode() + b"\n" for n in range(20)))
        process.stdin.flush()
        eventually(lambda: broker.llen("usage") == 20, "all are published")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr
        told = re.match(r"interrupted: published (\d+) events in (\d+) messages (.*)", process.stderr.read().decode())
    assert told
    assert told[1] == told[2]
    assert int(told[1]) in (19, 20)  # it may have been counted after it was seen in the queue
    assert told[3].endswith("at most one message more is on its way")
