"""How far long work over a file has come, on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.output.format import errors_as_json
from cli.output.notes import tell

PLAIN_PROGRESS_SECONDS = 5.0
Show = Callable[[int, Callable[[], str]], None]  # bytes done, and what tells in words what came of them


@contextmanager
def progress(size: int | None) -> Iterator[Show]:
    """A bar on a terminal, of `size` bytes where that is known; elsewhere a line every few seconds."""
    console = Console(stderr=True)
    if errors_as_json() or not console.is_terminal:
        yield _PlainProgress()
        return
    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=size)
        yield lambda position, words: bar.update(task, completed=position, description=words())


class _PlainProgress:
    """Tells every few seconds how far it is."""

    def __init__(self) -> None:
        self._next = time.monotonic() + PLAIN_PROGRESS_SECONDS

    def __call__(self, _: int, words: Callable[[], str]) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_PROGRESS_SECONDS
            tell("progress", words(), label="")
