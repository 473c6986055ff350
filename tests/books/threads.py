"""Pieces of work that start at the same moment, each in a thread of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

Result = TypeVar("Result")


def at_once(*work: Callable[[], Result]) -> list[Result]:
    """Starts all of `work` together, waits for its end and gives the results in order; the first error is raised."""
    barrier = Barrier(len(work))

    def start(piece: Callable[[], Result]) -> Result:
        barrier.wait(30)
        return piece()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(start, work))
