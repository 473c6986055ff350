"""Named points at which a process kills itself: at the one that TORTURE_POINT names, when it comes there the TORTURE_AFTER-th time.

`after_claim`, `before_commit`, `after_commit` are stages of a batch of events; after `mid_takeover` what a dead worker held is another's, and that
one dies, too. The others are amid a piece of work, before one of its statements: `mid_rollup`, `mid_switch` and their like.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sqlalchemy import Engine
from sqlalchemy import event as sqlalchemy_event

POINT, AFTER = os.environ.get("TORTURE_POINT", ""), int(os.environ.get("TORTURE_AFTER", "1"))
_thread = threading.local()
_lock = threading.Lock()
_times = 0


def reached(point: str) -> None:
    """Here the process ends, if it is to end here."""
    global _times  # noqa: PLW0603 - counted over all threads
    if point != POINT:
        return
    with _lock:
        _times += 1
        if _times == AFTER:
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def amid(point: str) -> Iterator[None]:
    """Every statement of this thread is one amid this piece of work."""
    before, _thread.work = getattr(_thread, "work", ""), point
    try:
        yield
    finally:
        _thread.work = before


def statement_begins(*_: Any) -> None:
    """SQLAlchemy is about to send a statement."""
    if work := getattr(_thread, "work", ""):
        reached(work)


def committing(_: Any) -> None:
    """SQLAlchemy is about to commit."""
    if getattr(_thread, "work", "") == "batch":
        reached("before_commit")


def watched(point: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, every statement of which is one amid the piece of work `point`."""

    def amid_it(*arguments: Any, **options: Any) -> Any:
        with amid(point):
            return function(*arguments, **options)

    return amid_it


def followed(point: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, after which the point is reached, if it did anything."""

    def and_then(*arguments: Any, **options: Any) -> Any:
        done = function(*arguments, **options)
        if done is not None:
            reached(point)
        return done

    return and_then


def install(work: Mapping[str, tuple[str, Sequence[str]]]) -> None:
    """Watches pieces of work: for each point the function's name, and the modules that call it by that name. One that isn't there is an error."""
    for point, (name, modules) in work.items():
        for module in map(import_module, modules):
            setattr(module, name, watched(point, getattr(module, name)))
    sqlalchemy_event.listen(Engine, "before_cursor_execute", statement_begins)
    sqlalchemy_event.listen(Engine, "commit", committing)
