"""The crash in the middle of the demo: SIGKILL for a worker that has messages in hand."""

import time

from lab.demo.display import Display
from lab.demo.processes import WORKERS, Processes
from lab.demo.report import Crash
from lab.demo.watch import Watch

VICTIM = WORKERS[-1]


class CrashTest:
    """Kills a worker as soon as it holds messages, starts another in its place, and sees what becomes of the messages."""

    def __init__(self, watch: Watch, processes: Processes, display: Display) -> None:
        self._watch, self._processes, self._display = watch, processes, display
        self._killed_at: float | None = None
        self._held: dict[str, int] = {}
        self._seconds: float | None = None
        self._replaced = False

    @property
    def killed(self) -> bool:
        """Whether the worker is dead."""
        return self._killed_at is not None

    @property
    def over(self) -> bool:
        """Whether the worker, once killed, has its replacement."""
        return not self.killed or self._replaced

    @property
    def result(self) -> Crash | None:
        """What happened, if anything did."""
        return Crash(VICTIM, sum(self._held.values()), self._seconds) if self.killed else None

    def try_now(self, *, last_chance: bool) -> None:
        """Kills the worker if it has messages in hand, on the last chance anyway."""
        if not self._watch.claims_of(VICTIM) and not last_chance:
            return
        self._processes.freeze(VICTIM)  # so that it can't finish between our look and its end
        held = self._watch.claims_of(VICTIM)
        if not held and not last_chance:
            self._processes.thaw(VICTIM)
            return
        self._processes.kill(VICTIM)
        self._killed_at, self._held = time.monotonic(), held
        self._display.note(f"killed {VICTIM} (SIGKILL) with {sum(held.values())} messages in hand; starting it again")
        self._processes.start_worker(VICTIM)

    def look(self) -> None:
        """Notes when the dead worker's messages are settled, and when its replacement serves."""
        if self._killed_at is None:
            return
        # Its replacement has the same name and claims of its own: only those held at the death count.
        if self._seconds is None and self._held and not self._held.keys() & self._watch.claims_of(VICTIM).keys():
            self._seconds = round(time.monotonic() - self._killed_at, 1)
            self._display.note(f"what the killed worker had in hand was taken over and settled {self._seconds} s after its death")
        self._replaced = self._replaced or self._processes.is_ready(VICTIM)
