"""What is sent when a process ends by itself: its main program, or a child of multiprocessing or of a Celery worker, which know no `atexit`."""

import atexit
import os
import sys
from multiprocessing import util
from typing import Protocol

from tollbook_client.errors import Closed

EXIT_SECONDS = 10.0


class Closable(Protocol):
    """Something that must not be forgotten, even where nobody else holds it any more."""

    def close(self, timeout_seconds: float) -> None:
        """Called when the process ends."""


_open: set[Closable] = set()
_process = 0  # which one knows what to do when it ends
_has_ended = False


def keep_until_closed(one: Closable) -> None:
    """Has it closed when the process ends, unless it is forgotten before.

    Raises:
        Closed: it has ended: what runs at the exit and comes after us can't send anything any more.
    """
    global _process  # noqa: PLW0603 - a child of multiprocessing forgets what its parent was to do
    if _has_ended:
        raise Closed("the program ends")
    _open.add(one)
    if _process != os.getpid():
        _process = os.getpid()
        util.Finalize(None, _close_all, exitpriority=100)
        if (signals := sys.modules.get("celery.signals")) is not None:
            signals.worker_process_shutdown.connect(_close_all, weak=False)


def forget(one: Closable) -> None:
    """The process needn't do anything about it when it ends."""
    _open.discard(one)


def _close_all(**_: object) -> None:
    global _has_ended  # noqa: PLW0603 - of the process
    _has_ended = True
    for one in list(_open):
        one.close(EXIT_SECONDS)


def _after_fork() -> None:
    _open.clear()  # they are the parent's


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
