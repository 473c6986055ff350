"""A journal of what is about to be sent: JSON Lines that `tollbook publish` can send again and `tollbook compare` can check."""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from tollbook_client.forking import tell_of_forks

try:
    import fcntl
except ImportError:  # on Windows each process needs a journal of its own
    fcntl = None  # type: ignore[assignment]

TORN_SUFFIX = ".torn"
_CHUNK_BYTES = 64 * 1024


class Journal:
    """A file with one event per line, exactly as it is sent.

    `append` returns once the lines are on disk, so whoever publishes after it can prove afterwards what was to be sent. Every line is whole:
    one that a crash cut off is completed where only its end was missing, else moved to `PATH.torn` by the next `append` (its event was never
    published). Threads may share one, and so may processes on one machine. A file that was moved away, by logrotate for instance, is begun
    anew.

    Args:
        path: the file; it is made, readable by its owner alone, in a folder that exists.
        fsync: whether to wait for the disk. Without it a crash of the machine, not of the process, can lose the last lines.
        bytes_max: a file that has grown beyond it is moved to `PATH.TIME` before the next `append`; None: never.

    Raises:
        OSError: the file can't be opened.
    """

    def __init__(self, path: str | Path, *, fsync: bool = True, bytes_max: int | None = None) -> None:
        self.path, self._fsync, self._bytes_max = Path(path), fsync, bytes_max
        self._lock, self._file = threading.Lock(), -1
        with self._lock, self._locked() as file:
            self._mend(file)
        tell_of_forks(self)

    def append(self, bodies: Sequence[bytes]) -> None:
        """Adds a line for each event; all of them are on disk afterwards, or none and an exception is raised.

        Raises:
            OSError: the disk is full or broken; the events should not be published.
        """
        lines = b"".join(body.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n" for body in bodies)  # in JSON they separate and no more
        with self._lock, self._locked() as file:
            end = self._mend(file)
            try:
                _write_all(file, lines)
                if self._fsync:
                    os.fsync(file)
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(file, end)
                raise

    def close(self) -> None:
        """Closes the file. `append` opens it again."""
        with self._lock:
            self._close()

    def forked(self) -> None:
        """In a child process: opens the file anew, since a lock of the parent's open file would be both of theirs."""
        self._lock = threading.Lock()
        self._close()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file that has the journal's name now, which no other process writes to meanwhile."""
        while True:
            self._open()
            try:
                _lock_file(self._file, on=True)
                if self._is_current() and not self._is_moved_away():
                    break
            except BaseException:
                self._close()  # and with it the lock
                raise
            self._close()
        try:
            yield self._file
        finally:
            if self._file >= 0:
                _lock_file(self._file, on=False)

    def _open(self) -> None:
        if self._file >= 0:
            return
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        if self._fsync and os.name == "posix":  # its name, too, must outlive a crash of the machine
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))  # noqa: PTH116 - beside fstat
        except FileNotFoundError:
            return False

    def _is_moved_away(self) -> bool:
        """Whether it was too long, and is under another name now."""
        if self._bytes_max is None or os.fstat(self._file).st_size <= self._bytes_max:
            return False
        self.path.rename(f"{self.path}.{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}")
        return True

    def _mend(self, file: int) -> int:
        """Sees to it that the file ends with a whole line.

        Returns:
            Its length in bytes.
        """
        end = os.fstat(file).st_size
        torn = _last_line(file, end)
        if not torn:
            return end
        with suppress(ValueError):
            json.loads(torn)
            _write_all(file, b"\n")
            return end + 1
        with Path(f"{self.path}{TORN_SUFFIX}").open("ab") as aside:
            aside.write(torn + b"\n")
            aside.flush()
            os.fsync(aside.fileno())
        os.ftruncate(file, end - len(torn))
        return end - len(torn)


def _last_line(file: int, end: int) -> bytes:
    """What stands behind the last line feed."""
    found, start = b"", end
    while start > 0 and b"\n" not in found:
        size = min(start, _CHUNK_BYTES if found else 1)  # nearly always it is the line feed itself
        start -= size
        os.lseek(file, start, os.SEEK_SET)
        found = os.read(file, size) + found
    return found.rpartition(b"\n")[2]


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


def _lock_file(file: int, *, on: bool) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX if on else fcntl.LOCK_UN)
