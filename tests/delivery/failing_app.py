"""The worker's app with one fault: at the point named by FAULT_POINT it sends itself the signal FAULT_SIGNAL, once.

With FAULT_BROKER_TIMEOUT it waits for the broker's answers so many seconds only, so that a test need not.

The points, in the order in which a batch meets them:

- `after_claim`: the messages are claimed, nothing is begun.
- `before_commit`: everything is written, the database has not been told to commit.
- `after_commit`: committed, nothing is acknowledged.
- `mid_ack`: the broker has the first half of the acknowledgement's bytes.
- `after_ack`: acknowledged, the pump has not been told.
"""

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import redis
from redis import Connection
from sqlalchemy import Engine
from sqlalchemy import event as sqlalchemy_event

from core.events.message import Message
from core.events.outcome import BatchResult
from tasks import usage
from worker.app import app
from worker.intake.redis_source import RedisSource
from worker.intake.source import Claim

__all__ = ["app"]

POINT, SIGNAL = os.environ.get("FAULT_POINT"), signal.Signals[os.environ.get("FAULT_SIGNAL", "SIGKILL")]
BROKER_TIMEOUT = float(os.environ.get("FAULT_BROKER_TIMEOUT", "0"))
_MULTI, _EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n"
_fault = threading.Lock()  # taken once and for ever
_thread = threading.local()
_handle, _claim, _acknowledge = usage.handle, RedisSource.claim, RedisSource.acknowledge
_send: Any = Connection.send_packed_command
_from_url = redis.Redis.from_url


def reached(point: str) -> None:
    """Here the fault happens, if it is to happen here."""
    if point == POINT and _fault.acquire(blocking=False):
        signal.pthread_kill(threading.get_ident(), SIGNAL)  # this very thread goes no further


def claim(self: RedisSource, messages_max: int, bytes_max: int) -> Claim | None:
    """As the real one."""
    claimed = _claim(self, messages_max, bytes_max)
    if claimed is not None:
        reached("after_claim")
    return claimed


def handle(messages: Sequence[Message], worker: str) -> BatchResult:
    """As the real one."""
    _thread.recording = True
    try:
        result = _handle(messages, worker)
    finally:
        _thread.recording = False
    reached("after_commit")
    return result


def committing(_: Any) -> None:
    """SQLAlchemy is about to commit."""
    if getattr(_thread, "recording", False):
        reached("before_commit")


def acknowledge(self: RedisSource, claimed: Claim) -> None:
    """As the real one."""
    _thread.acknowledging = True
    try:
        _acknowledge(self, claimed)
    finally:
        _thread.acknowledging = False
    reached("after_ack")


def send_packed_command(self: Connection, command: Any, check_health: bool = True) -> None:
    """As the real one; but of an acknowledgement only what stands before its EXEC, where the fault is to be there."""
    if POINT == "mid_ack" and getattr(_thread, "acknowledging", False) and not _fault.locked():
        whole = b"".join(command)
        assert whole.startswith(_MULTI), f"the acknowledgement is not one transaction: {whole!r}"
        assert whole.endswith(_EXEC), f"the acknowledgement is not one transaction: {whole!r}"
        _send(self, [whole.removesuffix(_EXEC)], check_health)
        time.sleep(0.1)  # the broker works on what it has
        reached("mid_ack")
        command = [_EXEC]
    _send(self, command, check_health)


usage.UsageDoor.handle = staticmethod(handle)


def from_url(url: str, **options: Any) -> redis.Redis:
    """As the real one, but less patient."""
    return _from_url(url, **options | {"socket_timeout": BROKER_TIMEOUT})


if BROKER_TIMEOUT:
    redis.Redis.from_url = from_url  # type: ignore[method-assign]
for owner, replacement in ((RedisSource, claim), (RedisSource, acknowledge), (Connection, send_packed_command)):
    setattr(owner, replacement.__name__, replacement)
sqlalchemy_event.listen(Engine, "commit", committing)
