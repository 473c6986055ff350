"""The operator's journal: what it is about to ask, on disk before it asks, and what it was told.

A line is an intent, `{"n": 7, "kind": "top_up", "asked": {…}, "scope": "…", "expect": "done" | "refused" | null, "at": seconds}`; an answer to it,
`{"n": 7, "told": "done" | "refused" | "maybe" | "failed", "result": {…} | "reason": "…", "at": seconds}`; or the beginning of a life of the process,
`{"life": 2, "at": seconds}`. An intent without an answer is a *maybe*: it happened or not. Any number of answers may follow an intent.
"""

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from lab.torture.lines import Lines, read_lines


@dataclass(slots=True)
class Intent:
    """One operation of the journal, and the answers to it so far."""

    number: int
    kind: str
    asked: dict[str, Any]
    scope: str
    expect: str | None
    at: float
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether nobody knows yet what became of it."""
        return all(answer["told"] == "maybe" for answer in self.answers)


class OperatorJournal:
    """One journal, appended to by one process at a time; what was half written when it was killed is dropped."""

    def __init__(self, path: Path) -> None:
        """Reads what is there."""
        self._lines = Lines(path)
        self.intents: dict[int, Intent] = {}
        self._of_kind: dict[str, list[Intent]] = defaultdict(list)
        self.next = 1  # the number of the next intent
        self.lives = 0
        self.began: float | None = None
        for line in read_lines(path):
            self._take(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def of_kind(self, *kinds: str) -> list[Intent]:
        """The intents of these kinds; those of one kind in the order in which they were written."""
        return [intent for kind in kinds for intent in self._of_kind[kind]]

    def live(self) -> int:
        """A process begins; the number of its life."""
        self._write({"life": self.lives + 1, "at": time.time()})
        return self.lives

    def intend(self, kind: str, asked: dict[str, Any], *, scope: str, expect: str | None) -> Intent:
        """Writes down, safe from a crash, what is about to be done."""
        number = self.next
        self._write({"n": number, "kind": kind, "asked": asked, "scope": scope, "expect": expect, "at": time.time()})
        return self.intents[number]

    def answer(self, intent: Intent, told: str, **what: Any) -> None:
        """What came of it."""
        self._write({"n": intent.number, "told": told, **what, "at": time.time()})

    def _write(self, line: dict[str, Any]) -> None:
        written = json.loads(json.dumps(line, default=str))
        self._lines.append(written)
        self._take(written)

    def _take(self, line: dict[str, Any]) -> None:
        if "life" in line:
            self.lives = line["life"]
            self.began = line["at"] if self.began is None else self.began
        elif "kind" in line:
            intent = Intent(line["n"], line["kind"], line["asked"], line["scope"], line["expect"], line["at"])
            self.intents[intent.number] = intent
            self._of_kind[intent.kind].append(intent)
            self.next = intent.number + 1
        else:
            self.intents[line["n"]].answers.append(line)
