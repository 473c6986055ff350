"""Which event of which life of a process: what Tollbook finds a missing one by."""

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tollbook_client.forking import tell_of_forks


def uuid7() -> str:
    """A new id, ordered by time to the millisecond (UUIDv7)."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    random = int.from_bytes(os.urandom(10), "big")
    number = milliseconds << 80 | 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=number))


class ProducerLife:
    """One life of one process: an id of its own, and the numbers 1, 2, 3 … in it, none of them twice and none left out.

    Any number of threads may share one. A forked child begins a new life.

    Attributes:
        producer_id: of this life, UUIDv7.
    """

    def __init__(self) -> None:
        self.forked()
        tell_of_forks(self)

    def next(self) -> int:
        """The next number. Whoever takes it must send it, or it is missing for ever: check the event before."""
        with self.numbered() as number:
            return number

    @contextmanager
    def numbered(self) -> Iterator[int]:
        """The next number, for as long as the block lasts; it counts as taken only if the block ends without an exception.

        Blocks of several threads run one after the other, so that what they write stands in the order of the numbers.
        """
        with self._lock:
            yield self._last + 1
            self._last += 1

    def forked(self) -> None:
        """Begins a new life."""
        self._lock = threading.Lock()
        self._last = 0
        self.producer_id = uuid7()
