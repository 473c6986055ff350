"""What a producer means to send and what it knows to be sent, on disk before anything leaves the process.

A line per message: `{"n": 7, "queue": …, "kind": …, "bodies": […]}` before it is published, `{"n": 7, "sent": true}` once the broker has
confirmed it. A message without its second line is a *maybe*: it may have arrived or not, and either is right.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


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
        self._mend(path)
        self.next, self.events = 1, 0  # the next message's number; events of all messages before
        for line in _lines(path):
            self.next, self.events = max(self.next, line["n"] + 1), self.events + len(line.get("bodies", ()))
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def intend(self, kind: str, queue: str, bodies: Sequence[str]) -> int:
        """Writes down, safe from a crash, what is about to be published; its number."""
        number, self.next, self.events = self.next, self.next + 1, self.events + len(bodies)
        self._write({"n": number, "kind": kind, "queue": queue, "bodies": list(bodies)})
        return number

    def confirm(self, number: int) -> None:
        """The broker has confirmed it."""
        self._write({"n": number, "sent": True})

    def answered(self) -> None:
        """A question on the side was answered."""
        self._write({"n": self.next - 1, "answered": True})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n")
        self._file.flush()
        os.fdatasync(self._file.fileno())

    @staticmethod
    def _mend(path: Path) -> None:
        if path.exists():
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole != len(content):
                with path.open("r+b") as file:
                    file.truncate(whole)


def read_journal(path: Path) -> Iterator[Sent]:
    """Every message of a journal, in the order in which it was meant to be sent."""
    sure = {line["n"] for line in _lines(path) if line.get("sent")}
    for line in _lines(path):
        if "bodies" in line:
            yield Sent(line["kind"], line["queue"], tuple(line["bodies"]), line["n"] in sure)


def answers_in(path: Path) -> int:
    """How many questions were answered."""
    return sum("answered" in line for line in _lines(path))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
