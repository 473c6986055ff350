"""What a producer means to send and what it knows to be sent, on disk before anything leaves the process.

A line per message: `{"n": 7, "queue": …, "kind": …, "bodies": […]}` before it is published, `{"n": 7, "sent": true}` once the broker has
confirmed it. A message without its second line is a *maybe*: it may have arrived or not, and either is right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.torture.lines import Lines, read_lines


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of a journal: its events' bodies as they were sent, and whether it is certain that it arrived."""

    kind: str
    queue: str
    bodies: tuple[str, ...]
    sure: bool


class Journal:
    """One producer's journal, appended to by one process at a time; what was half written when it was killed is dropped."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)
        self.next, self.events = 1, 0  # the next message's number; events of all messages before
        for line in read_lines(path):
            self.next, self.events = max(self.next, line["n"] + 1), self.events + len(line.get("bodies", ()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def intend(self, kind: str, queue: str, bodies: Sequence[str]) -> int:
        """Writes down, safe from a crash, what is about to be published; its number."""
        number, self.next, self.events = self.next, self.next + 1, self.events + len(bodies)
        self._lines.append({"n": number, "kind": kind, "queue": queue, "bodies": list(bodies)})
        return number

    def confirm(self, number: int) -> None:
        """The broker has confirmed it."""
        self._lines.append({"n": number, "sent": True})

    def answered(self) -> None:
        """A question on the side was answered."""
        self._lines.append({"n": self.next - 1, "answered": True})


def read_journal(path: Path) -> Iterator[Sent]:
    """Every message of a journal, in the order in which it was meant to be sent."""
    sure = {line["n"] for line in read_lines(path) if line.get("sent")}
    for line in read_lines(path):
        if "bodies" in line:
            yield Sent(line["kind"], line["queue"], tuple(line["bodies"]), line["n"] in sure)


def answers_in(path: Path) -> int:
    """How many questions were answered."""
    return sum("answered" in line for line in read_lines(path))
