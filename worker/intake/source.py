"""What the pump asks of a broker. One implementation per broker stands beside this file."""

from dataclasses import dataclass
from typing import Protocol

from core.events.envelope import QueueEntry


class BrokerUnavailable(Exception):
    """The broker can't answer now; trying again is safe."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Messages that this worker has taken and nobody else will get, unless it gives no sign of life for too long."""

    id: str
    entries: list[QueueEntry]
    taken_over: bool = False
    starts: int = 0  # times that work on it was begun by someone who took it over, without an end or an excuse


class Source(Protocol):
    """A broker's queues, seen as claims. Every method but `close` raises BrokerUnavailable when the broker can't answer."""

    def claim(self, messages_max: int, bytes_max: int) -> Claim | None:
        """Takes what is there, up to the limits (it stops at the message that reaches `bytes_max`); none: the queues are empty."""

    def take_over(self) -> Claim | None:
        """Takes over one claim of a worker that died, and counts, outside of this process, that work on it begins."""

    def excuse(self, claim: Claim) -> None:
        """Takes that start back: the work could not be done, for no fault of the messages."""

    def start(self, claim: Claim) -> None:
        """Counts that work on a claim taken over begins once more."""

    def split(self, claim: Claim) -> None:
        """Turns a claim into claims of one message each, free to be taken over, so that a deadly message stands alone."""

    def touch(self, claim: Claim) -> None:
        """A sign of life, from any thread: nobody takes the claim over for another visibility time."""

    def acknowledge(self, claim: Claim) -> None:
        """Removes the claim's messages for ever. Only after the commit of every outcome. Repeatable."""

    def backlog(self) -> dict[str, int]:
        """Messages that wait, by queue, and under `claims` the claims of all workers, dead ones too; from any thread."""

    def look_for_foreign(self) -> None:
        """Looks, for a bounded part, for what looks like ours and is read by nobody; from one thread at a time."""

    def foreign(self) -> dict[str, int]:
        """What was found: how much waits there, by printable name; from any thread, and nobody is asked."""

    def give_back(self, claim: Claim) -> None:
        """Puts the claim's messages back at the head of their queues; from any thread. Repeatable."""

    def close(self) -> None:
        """Lets go of everything but its claims, at a pause and at the end; the next claim connects anew. Repeatable, never raises."""
