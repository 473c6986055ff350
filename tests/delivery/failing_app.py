"""The worker's app with one fault: at the point named by FAULT_POINT it sends itself the signal FAULT_SIGNAL, once.

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
from collections.abc import Iterable, Sequence
from typing import Any

from redis import Connection
from sqlalchemy import Engine
from sqlalchemy import event as sqlalchemy_event

from core.domain.outcome import BatchResult
from tasks import usage
from tasks.message import Message
from worker.app import app
from worker.intake.redis_source import RedisSource
from worker.intake.source import Claim

__all__ = ["app"]

POINT, SIGNAL = os.environ["FAULT_POINT"], signal.Signals[os.environ.get("FAULT_SIGNAL", "SIGKILL")]
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
_fault = threading.Lock()  # taken once and for ever
_thread = threading.local()
_handle, _claim, _acknowledge, _send = usage.handle, RedisSource.claim, RedisSource.acknowledge, Connection.send_packed_command


def reached(point: str) -> None:
    """Here the fault happens, if it is to happen here."""
    if point == POINT and _fault.acquire(blocking=False):
        os.kill(os.getpid(), SIGNAL)


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


def send_packed_command(self: Connection, command: bytes | Iterable[bytes], *args: Any, **options: Any) -> None:
    """As the real one; but of an acknowledgement only what stands before its EXEC, where the fault is to be there."""
    if POINT == "mid_ack" and getattr(_thread, "acknowledging", False) and not _fault.locked():
        whole = command if isinstance(command, bytes) else b"".join(command)
        assert whole.endswith(_EXEC), f"the acknowledgement is not one transaction: {whole!r}"
        _send(self, whole.removesuffix(_EXEC), *args, **options)
        time.sleep(0.1)  # the broker works on what it has
        reached("mid_ack")
        command = _EXEC
    _send(self, command, *args, **options)


usage.UsageDoor.handle = staticmethod(handle)
RedisSource.claim = claim  # type: ignore[method-assign]
RedisSource.acknowledge = acknowledge  # type: ignore[method-assign]
Connection.send_packed_command = send_packed_command  # type: ignore[method-assign]
sqlalchemy_event.listen(Engine, "commit", committing)
