"""What the embedded servers share: the account they run as, their files, their ports and their processes."""

import itertools
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core.errors import TollbookError

START_SECONDS = 30.0
KILL_SECONDS = 10.0
POLL_SECONDS = 0.02
LOG_TAIL_LINES = 20
# The servers may run as somebody else: they get none of the caller's variables, which may hold secrets.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
# What moves a process's clock (libfaketime): a server sees the time that its caller sees.
_CLOCK = ("FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC", "FAKETIME_SHARED", "LD_PRELOAD", "NO_FAKE_STAT")
_children: dict[int, subprocess.Popen[bytes]] = {}


class ServerFailed(TollbookError):
    """An embedded server, or its folder, is not as it must be; the message says what to do or ends with the server's log."""


class ServerExited(ServerFailed):
    """An embedded server ended before it answered."""


@dataclass(frozen=True)
class Account:
    """The system user that a server runs as; `name` is None where the system's user list does not have it."""

    name: str | None
    user_id: int
    group_id: int


def server_account(data: Path | None = None) -> Account:
    """An account that PostgreSQL accepts: ourselves, or, for root, the owner of `data`, else the caller of sudo, `postgres` or `nobody`.

    Args:
        data: folder of an earlier run, whose owner root must be again; it may be missing.

    Raises:
        ServerFailed: `data` belongs to somebody else, or root finds no unprivileged user.
    """
    owner = data.stat().st_uid if data and data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner != os.geteuid():
            raise ServerFailed(f"{data} belongs to {_name(owner) or owner}: run as that user, or choose another folder with --dir")
        return Account(_name(os.geteuid()), os.geteuid(), os.getegid())
    sudo_user = os.environ.get("SUDO_UID", "")
    for candidate in (owner, int(sudo_user) if sudo_user.isdecimal() else None, "postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(candidate) if isinstance(candidate, str) else pwd.getpwuid(candidate or 0)
            if entry.pw_uid != 0:
                return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise ServerFailed("root may not run PostgreSQL, and there is no user `postgres` or `nobody`: run as an ordinary user, or set DATABASE_URL")


def moved_clock() -> dict[str, str]:
    """The variables by which this process's clock is moved (`make test-dates`); none where it is the machine's."""
    return {name: os.environ[name] for name in _CLOCK if name in os.environ} if "FAKETIME" in os.environ else {}


def run(command: Sequence[str | Path], account: Account, *, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command as `account`, with further environment `variables`, to its end and return its exit code and joint output."""
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **_surroundings(account, variables))


def launch(
    command: Sequence[str | Path],
    account: Account,
    log: Path,
    answers: Callable[[], bool],
    *,
    variables: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> int:
    """Start a server that outlives this process, with further environment `variables`, wait until it answers and return its pid.

    Raises:
        ServerExited: it ended before that; the message ends with its log.
        ServerFailed: it does not answer within `seconds`; as where waiting is interrupted, it is killed.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "ab") as output:
        hand_over(output.fileno(), log.parent)
        before = output.tell()
        child = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, umask=0o077, **_surroundings(account, variables))
    _children[child.pid] = child
    settled, name = False, Path(command[0]).name
    try:
        settled = wait_until(lambda: child.poll() is not None or answers(), seconds)
    finally:
        if not settled and is_alive(child.pid):  # nobody else knows of it yet, who could end it
            terminate(child.pid, {signal.SIGKILL: KILL_SECONDS})
    if not settled:
        raise ServerFailed(f"{name} (pid {child.pid}) does not answer after {seconds:.0f} s; its log {log}:\n{log_tail(log, before)}")
    if child.returncode is not None:
        raise ServerExited(f"{name} ended at its start (exit code {child.returncode}); its log {log}:\n{log_tail(log, before)}")
    return child.pid


def log_tail(log: Path, offset: int = 0) -> str:
    """The last 20 lines that `log` holds after `offset` bytes."""
    with log.open("rb") as content:
        content.seek(offset)
        return b"\n".join(content.read().splitlines()[-LOG_TAIL_LINES:]).decode(errors="replace")


def make_directory(path: Path, owner: Account | None = None) -> None:
    """See to it that a folder exists which only its owner can list: `owner`'s, or that of its parent's owner.

    Raises:
        ServerFailed: it can't be made, or it exists and is a stranger's.
    """
    try:
        if not path.parent.exists():
            make_directory(path.parent)
        if not path.exists():
            path.mkdir(mode=0o700)
            hand_over(path, path.parent, owner)
            # Root's servers run as somebody else, who must get through to what is theirs.
            path.chmod(0o711 if os.geteuid() == 0 and owner is None else 0o700)
        trusted = {os.geteuid(), path.parent.stat().st_uid} | ({owner.user_id} if owner else set())
        if not path.is_dir() or path.lstat().st_uid not in trusted:
            raise ServerFailed(f"{path} is not a folder of {_name(os.geteuid()) or os.geteuid()}: choose another folder with --dir")
    except OSError as error:
        raise ServerFailed(f"can't use the folder {path} ({error.strerror}): choose another one with --dir") from None


def write_private(path: Path, content: str, owner: Account | None = None) -> None:
    """Replace a file in one step by one that only `owner`, or else the folder's owner, can read."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as output:
        output.write(content)
        hand_over(output.fileno(), path.parent, owner)
    Path(draft).replace(path)


def read_record(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None where there is no file or no whole object in it."""
    with suppress(FileNotFoundError, ValueError):
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if isinstance(record, dict) else None
    return None


def hand_over(target: Path | int, parent: Path, owner: Account | None = None) -> None:
    """Let a path or open file that root made belong to `owner`, or else to the owner of the folder `parent`."""
    if os.geteuid() == 0:
        kept = parent.stat()
        os.chown(target, owner.user_id if owner else kept.st_uid, owner.group_id if owner else kept.st_gid)


def can_reach(account: Account, folder: Path) -> bool:
    """Whether `account` may enter a folder."""
    return run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder], account).returncode == 0


def reachable_dir(prefix: str = "tollbook-") -> Path:
    """Make an empty temporary folder that the servers' account can enter; the caller removes it."""
    for parent in (None, "/var/tmp"):  # noqa: S108 - mkdtemp makes it ours
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        if os.geteuid() != 0:
            return folder
        folder.chmod(0o711)
        if can_reach(server_account(), folder):
            return folder
        folder.rmdir()
    raise ServerFailed(f"{server_account().name} can enter neither {tempfile.gettempdir()} nor /var/tmp")


@contextmanager
def temporary_dir(prefix: str = "tollbook-") -> Iterator[Path]:
    """A temporary folder that the servers' account can enter, removed at the end; stop the servers in it first."""
    folder = reachable_dir(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port(preferred: int | None = None) -> int:
    """A TCP port of 127.0.0.1 on which nobody listens: `preferred` where it is free."""
    # Below the range of clients' own ports: a client that keeps trying a dead port of that range may connect to itself and so take it.
    guesses = (random.randrange(15_000, 30_000) for _ in itertools.count())
    for port in itertools.chain([preferred] if preferred else [], guesses):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError


def find_process(program: str, arguments: str) -> int | None:
    """The pid of the live `program` that was started with these first arguments, or None."""
    found: dict[int, int] = {}  # with the parent: a child looks like its parent until it has given itself a title
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            if process.info["name"] == program and f"{program} {arguments} " in " ".join([*process.cmdline(), ""]):
                found[process.pid] = process.ppid()
    return next((pid for pid, parent in found.items() if parent not in found), None)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not yet waited for does not."""
    if pid in _children:
        ended = _children[pid].poll() is not None
        if ended:
            del _children[pid]
        return not ended
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look every 20 ms until the condition holds; False where it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def terminate(pid: int, signals: Mapping[signal.Signals, float]) -> None:
    """End a process: send each signal in turn and wait its seconds, until the process is gone.

    Raises:
        ServerFailed: the process is another user's, or outlives the last signal.
    """
    for number, seconds in signals.items():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            raise ServerFailed(f"process {pid} is another user's: only that user or root can stop it") from None
        if wait_until(lambda: not is_alive(pid), seconds):
            return
    raise ServerFailed(f"process {pid} does not end")


def _surroundings(account: Account, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    common: dict[str, Any] = {"cwd": "/", "env": {**ENVIRONMENT, **moved_clock(), **(variables or {})}, "stdin": subprocess.DEVNULL}
    return common if account.user_id == os.geteuid() else {**common, "user": account.user_id, "group": account.group_id, "extra_groups": []}


def _name(user_id: int) -> str | None:
    with suppress(KeyError):
        return pwd.getpwuid(user_id).pw_name
    return None
