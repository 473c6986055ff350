"""What the processes of a fire asked and were told, kept whatever becomes of them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Journal:
    """What one process asked, and was told: lines that are in the file once they are written, whatever becomes of the process."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self.lines = 0

    def ask(self, what: str, *keys: str) -> list[int]:
        """Their numbers."""
        numbers = list(range(self.lines, self.lines + len(keys)))
        self.lines += len(keys)
        self._write(*({"n": n, "what": what, "key": key} for n, key in zip(numbers, keys, strict=True)))
        return numbers

    def told(self, numbers: Sequence[int], answers: Sequence[str]) -> None:
        """What came of it."""
        self._write(*({"n": n, "told": answer} for n, answer in zip(numbers, answers, strict=True)))

    def _write(self, *lines: dict[str, object]) -> None:
        os.write(self.file, "".join(json.dumps(line) + "\n" for line in lines).encode())


def read_journals(folder: Path) -> list[dict[str, Any]]:
    """Every question of every process, in no order: `what`, `key` and what was `told` (None: nothing)."""
    questions: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.journal")):
        asked: dict[int, dict[str, Any]] = {}
        for line in path.read_text().splitlines():
            read = json.loads(line)
            if "what" in read:
                asked[read["n"]] = {**read, "told": None}
            else:
                asked[read["n"]]["told"] = read["told"]
        questions += asked.values()
    return questions
