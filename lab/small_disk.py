"""A disk that can be really full: a small file system in memory (tmpfs), for the data folder of a server."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

from lab import process
from lab.process import ServerFailed, temporary_dir

_FILL_SECONDS = 10.0


def is_possible() -> bool:
    """Whether this process may mount a file system: for root on a machine, or in a container that has the right to."""
    if os.geteuid() != 0:
        return False
    with temporary_dir("tollbook-mount-") as folder, suppress(ServerFailed), SmallDisk(folder / "disk", mib=1):
        return True
    return False


class SmallDisk:
    """A file system of its own in a folder, for as long as the `with` block lasts; what it holds is gone afterwards.

    Stop the servers in it before the block ends. It takes the memory of what it holds, and none for being full.

    Args:
        folder: where it is mounted; it is made. For root's servers, one that the unprivileged account can reach.
        mib: its size; a PostgreSQL server needs about 150 before its first row, because of the log that it keeps.
    """

    def __init__(self, folder: Path, *, mib: int) -> None:
        self.folder, self._kib = folder.resolve(), mib * 1024

    def __enter__(self) -> Self:
        """Mounts it.

        Raises:
            ServerFailed: this process may not.
        """
        process.make_directory(self.folder)
        _mount("mount", "-t", "tmpfs", "-o", f"size={self._kib}k,mode=711,nosuid,nodev", "tollbook", str(self.folder))
        return self

    def __exit__(self, *_: object) -> None:
        """Unmounts it; what a process still holds open of it is gone when that ends."""
        try:
            _mount("umount", str(self.folder))
        except ServerFailed:
            _mount("umount", "-l", str(self.folder))

    @property
    def left_kib(self) -> int:
        """How much can still be written."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize // 1024

    def fill(self, *, left_kib: int = 0) -> None:
        """Nothing, or so much, can be written from now on: the disk is as small as what it holds.

        Raises:
            ServerFailed: others write faster than it can be filled.
        """
        if not process.wait_until(lambda: self._shrink(left_kib), _FILL_SECONDS):
            raise ServerFailed(f"{self.folder} can't be filled: others write to it faster")

    def free(self) -> None:
        """It has its whole size again."""
        _mount("mount", "-o", f"remount,size={self._kib}k", str(self.folder))

    def _shrink(self, left_kib: int) -> bool:
        found = os.statvfs(self.folder)
        used_kib = (found.f_blocks - found.f_bfree) * found.f_frsize // 1024
        with suppress(ServerFailed):  # somebody wrote meanwhile, and it can't become smaller than what it holds
            _mount("mount", "-o", f"remount,size={used_kib + left_kib}k", str(self.folder))
        return self.left_kib <= left_kib


def _mount(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=process.ENVIRONMENT)
    if done.returncode != 0:
        raise ServerFailed(f"{command[0]} of {command[-1]} is not possible here, which needs root's rights: {done.stderr.strip()}")
