"""A file that is there whole or not at all, or standard output in its place."""

import hashlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import RequestRefused
from core.printable import shown


class Written(io.RawIOBase):
    """Passes bytes on to a file, and knows how many there were and their SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.size = 0
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """Writes all of `data`, and returns how many bytes that is."""
        size = memoryview(data).nbytes
        self._file.write(data)
        self.sha256.update(data)
        self.size += size
        return size


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[Written]:
    """What is written becomes the file when the block ends; when it raises, nothing is left. Meanwhile it is a hidden file beside it.

    Raises:
        RequestRefused: there is such a file, and no `force`.
        OSError: it can't be written.
    """
    _require_absent(path, force=force)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "xb", opener=_private) as file:
            yield Written(file)
            file.flush()
            os.fsync(file.fileno())
        _require_absent(path, force=force)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def standard_output() -> Iterator[Written]:
    """What is written goes to standard output, as it comes."""
    sys.stdout.flush()
    yield Written(sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _private(path: str, flags: int) -> int:
    """Opens it for its owner alone: who is billed for what is nobody else's business."""
    return os.open(path, flags, 0o600)


def _require_absent(path: Path, *, force: bool) -> None:
    if not force and os.path.lexists(path):
        raise RequestRefused(f"{shown(str(path))} is there already: name another file, or --force", field="output", value=path)
