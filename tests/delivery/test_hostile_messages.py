"""Entries made to hurt: bombs, giants, code in disguise, and what is no message at all."""

import base64
import gzip
import json
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.conftest import Rows
from tests.delivery.conftest import StartWorker, eventually
from tests.delivery.test_faults import books_hold_exactly, message
from tests.delivery.test_worker import in_envelope
from tests.sample_events import body_of, event

MIB = 1024 * 1024
PEAK_MIB_MAX = 200
KEPT_BYTES_MAX = 256 * 1024  # of a dead letter
DEEP = b"[" * 100_000 + b"]" * 100_000

pytestmark = pytest.mark.usefixtures("acme")


class Malice:
    """Touches a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return subprocess.check_call, (["touch", str(self.trace)],)


def hostile(trace: Path) -> dict[bytes, str]:
    """Entries of the queue `usage`, each with the reason that its dead letter must have."""
    good = b"[[" + body_of(event()) + b"], {}, {}]"
    pickled = pickle.dumps([[Malice(trace)], {}, {}])
    yaml = f"!!python/object/apply:subprocess.check_call [[touch, {trace}]]".encode()
    properties = {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"}
    whole = json.loads(in_envelope(good))
    without = {name: json.dumps({key: value for key, value in whole.items() if key != name}).encode() for name in ("body", "headers")}
    return {
        in_envelope(gzip.compress(bytes(128 * MIB), 1), headers={"task": "usage.record", "compression": "application/x-gzip"}): "unsupported_content",
        in_envelope(b"[[" + body_of(event(description="x" * 10 * MIB)) + b"], {}, {}]"): "message_too_large",
        b"x" * 10 * MIB: "message_too_large",
        in_envelope(pickled, **{"content-type": "application/x-python-serialize", "content-encoding": "binary"}): "unsupported_content",
        in_envelope(pickled): "malformed_message",
        in_envelope(yaml, **{"content-type": "application/x-yaml"}): "unsupported_content",
        in_envelope(b"\x93\x90\x80\x80", **{"content-type": "application/x-msgpack", "content-encoding": "binary"}): "unsupported_content",
        in_envelope(good, **{"content-type": "text/plain"}): "unsupported_content",
        in_envelope(good, properties=properties | {"body_encoding": "rot13"}): "unsupported_content",
        in_envelope(good, "os.system"): "unknown_task",
        in_envelope(good, "celery.backend_cleanup"): "unknown_task",
        in_envelope(b"[[" + DEEP + b"], {}, {}]"): "malformed_message",
        DEEP: "malformed_message",
        b'{"body": ' * 50_000: "malformed_message",
        body_of(event()): "malformed_message",  # an event without an envelope
        without["body"]: "malformed_message",
        without["headers"]: "malformed_message",  # the body is none of protocol 1
        b"": "malformed_message",
        b"\xff\xfe\x00": "malformed_message",
        base64.b64encode(in_envelope(good)): "malformed_message",
    }


def test_hostile_messages_cost_neither_memory_nor_neighbours(
    queue: redis.Redis, start_worker: StartWorker, rows: Rows, counts: Callable[[], dict[str, int]], is_drained: Callable[[], bool], tmp_path: Path
) -> None:
    """A compressed bomb, bodies of 10 MB, pickles and other foreign content, unknown tasks, endless nesting and entries without
    an envelope become one dead letter each, with their bytes; nothing of them is inflated or run, and every event between
    them is recorded by a worker that keeps below 200 MiB.
    """
    trace = tmp_path / "trace"
    bad = hostile(trace)
    plain = {b'{"description": "' + b"x" * 10 * MIB + b'"}': "message_too_large", DEEP + b"\n": "malformed_arguments", b"\x00": "malformed_json"}
    events = [event() for _ in bad]
    for entry, fields in zip(bad, events, strict=True):
        queue.lpush("usage", message(fields), entry)
    queue.lpush("usage.json", *plain)
    worker = start_worker().ready()
    eventually(is_drained, "every message is settled")
    letters = rows("SELECT body, body_length, reason, origin FROM dead_letters")
    found = {(bytes(row["body"]), row["body_length"], row["origin"] == "usage.json"): row["reason"] for row in letters}
    expected = {(entry[:KEPT_BYTES_MAX], len(entry), there): why for there, some in ((False, bad), (True, plain)) for entry, why in some.items()}
    assert found == expected
    books_hold_exactly(rows, events)
    assert counts() == {"recorded": len(events), "duplicate": 0, "conflict": 0, "rejected": len(expected), "parked": 0}
    assert not trace.exists()
    assert worker.peak_mib() <= PEAK_MIB_MAX, f"{worker.peak_mib():.0f} MiB"
    assert worker.terminate() == 0
