"""The clock of one process, moved while it runs (libfaketime, from the distribution's package `faketime`)."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from core.errors import Misconfigured
from lab.dates import library, shared
from lab.process import temporary_dir


class JumpingClock:
    """Moves the time of day of the processes that were started with its `environment`, for as long as the `with` block lasts.

    Their next look at the clock sees a jump. What waits or measures (CLOCK_MONOTONIC) and the times of files stay, and so do all other processes:
    the servers' clocks are right. End the processes before the block ends; the children that they start have the same clock.
    """

    def __init__(self) -> None:
        self.seconds = 0.0  # by which it is moved now
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Makes what it needs.

        Raises:
            Misconfigured: there is no libfaketime on this machine, or our own clock is moved already.
        """
        if "FAKETIME" in os.environ:
            raise Misconfigured("this process's own clock is moved (FAKETIME): a second one can't be")
        with ExitStack() as stack:
            self._library, self._memory = stack.enter_context(library()), stack.enter_context(shared())
            self._file = stack.enter_context(temporary_dir("tollbook-clock-")) / "time"
            self._set(0.0)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def environment(self) -> dict[str, str]:
        """The variables for the processes whose clock it is."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_SHARED": f"/{self._memory} /{self._memory}",
            "NO_FAKE_STAT": "1",
            "PATH": os.pathsep.join([str(self._library.parent / "bin"), os.environ["PATH"]]),
        }

    def jump(self, seconds: float) -> None:
        """Moves the clock from where it is, forwards or (with a negative number) backwards."""
        self._set(self.seconds + seconds)

    def heal(self) -> None:
        """The clock is right again: it jumps back to where all others are."""
        self._set(0.0)

    def _set(self, seconds: float) -> None:
        draft = Path(f"{self._file}.new")
        draft.write_text(f"{seconds:+.3f}\n", encoding="ascii")
        draft.chmod(0o644)
        draft.replace(self._file)
        self.seconds = seconds
