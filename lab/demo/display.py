"""The demo while it runs, on standard error: a live panel on a terminal, else a line now and then."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from lab.demo.watch import Sight

PLAIN_SECONDS = 5.0


class Display:
    """Notes stay, progress is overwritten."""

    def __init__(self, total: int) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self._sent = Progress(TextColumn("sent"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} events"), TimeElapsedColumn())
        self._task = self._sent.add_task("sent", total=total)
        self._live = Live(console=self._console, transient=True, refresh_per_second=8) if self._console.is_terminal else None
        self._next_line_at = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def note(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text)

    def progress(self, sent: int, sight: Sight) -> None:
        """How far it is."""
        line = ", ".join(f"{outcome} {n:,}" for outcome, n in sight.outcomes.items()) + f", waiting {sight.queued:,}"
        if self._live:
            self._sent.update(self._task, completed=sent)
            self._live.update(Group(self._sent, Text(line)))
        elif time.monotonic() >= self._next_line_at:
            self._next_line_at = time.monotonic() + PLAIN_SECONDS
            self.note(f"  sent {sent:,}: {line}")
