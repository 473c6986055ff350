"""The worker's app with one fault: a message that says `poison` ends the process, as a fault in native code would."""

import os
import signal
from collections.abc import Sequence

from core.events.message import Message
from core.events.outcome import BatchResult
from tasks import usage
from worker.app import app

__all__ = ["app"]

_handle = usage.handle


def handle(messages: Sequence[Message], worker: str) -> BatchResult:
    """As the real one, but deadly."""
    if any(b'"poison"' in bytes(argument) for message in messages if message.defect is None for argument in message.args):
        os.kill(os.getpid(), signal.SIGKILL)
    return _handle(messages, worker)


usage.UsageDoor.handle = staticmethod(handle)
