"""What core knows of a broker: queues that somebody else empties."""

from collections.abc import Sequence
from typing import Protocol


class OutgoingQueue(Protocol):
    """A broker's queue that somebody else empties."""

    def room(self) -> int:
        """How many messages it may take now."""

    def put(self, bodies: Sequence[bytes]) -> None:
        """Returns once the broker has every message. After an error it may have some."""
