"""What objects with locks and connections do in a forked child: the child's other threads are gone, and the parent's connections aren't its own."""

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that a fork concerns."""

    def forked(self) -> None:
        """Called in the child, before anything else runs there."""


_all: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def tell_of_forks(one: Forkable) -> None:
    """Has `one.forked()` called in each child process, for as long as somebody holds `one`."""
    _all.add(one)


def _after_fork() -> None:
    for one in list(_all):
        one.forked()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
