"""The embedded PostgreSQL and Valkey of one checkout: up, down, and where they are.

A URL in the environment (`DATABASE_URL`, `CELERY_BROKER_URL` or `REDIS_URL`) takes the place of the embedded server everywhere.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import configuration
from core.errors import Misconfigured
from lab import process
from lab.postgres import OWNER, PostgresServer
from lab.process import ServerFailed
from lab.valkey import AppendFsync, ValkeyServer

LOCK_SECONDS = 120.0
STATE_FILE = "services.json"


@dataclass(frozen=True)
class RunningServer:
    """One embedded server that runs; `started` tells whether the `up` in question started it."""

    pid: int
    port: int
    started: bool


@dataclass(frozen=True)
class Services:
    """Where PostgreSQL and the broker are; `postgres` or `valkey` is None where the environment names another server."""

    database_url: str
    database_owner_url: str
    broker_url: str
    directory: Path
    postgres: RunningServer | None
    valkey: RunningServer | None

    def as_json(self) -> dict[str, Any]:
        """The object that `tollbook services up --json` prints and the state file holds; passwords included."""
        return {
            "database_url": self.database_url,
            "database_owner_url": self.database_owner_url,
            "broker_url": self.broker_url,
            "dir": str(self.directory),
            "postgres": None if self.postgres is None else vars(self.postgres),
            "valkey": None if self.valkey is None else vars(self.valkey),
        }

    def environment(self) -> dict[str, str]:
        """The environment variables that make every other command use these servers."""
        return {"DATABASE_URL": self.database_url, "DATABASE_OWNER_URL": self.database_owner_url, "CELERY_BROKER_URL": self.broker_url}


@dataclass(frozen=True)
class ServerStatus:
    """What is known of one server; for one that the environment names, nothing but that (`external`)."""

    name: str
    running: bool
    external: bool = False
    pid: int | None = None
    port: int | None = None
    directory: Path | None = None
    version: str | None = None


@dataclass(frozen=True)
class _External:
    database: str | None
    owner: str | None
    broker: str | None

    @property
    def all(self) -> bool:
        return self.database is not None and self.broker is not None


def default_dir() -> Path:
    """The folder of the embedded servers: `.local` of the checkout, or for root, where the servers' account can't reach that, one in /var/tmp.

    An installation that is not a checkout has them in the user's state folder.
    """
    checkout = Path(__file__).resolve().parents[1]
    if os.geteuid() == 0 and not process.can_reach(process.server_account(), checkout):
        return Path("/var/tmp") / f"tollbook-{hashlib.sha256(str(checkout).encode()).hexdigest()[:10]}"  # noqa: S108 - make_directory checks whose
    if not (checkout / "pyproject.toml").exists():
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tollbook"
    return checkout / ".local"


def up(directory: Path | None = None, *, fast: bool = False, appendfsync: AppendFsync = "everysec") -> Services:
    """See to it that PostgreSQL and the broker run: reuse what runs, start what does not.

    Args:
        directory: where the servers keep their data; `default_dir()` if None.
        fast: trade the safety of PostgreSQL's last transactions for speed; for tests that do not kill it.
        appendfsync: when a queue entry is safe from a crash of the machine.

    Raises:
        ServerFailed: a server does not start; what this call had started is stopped again.
        Misconfigured: the environment is contradictory, or the wheels with the servers are missing.
    """
    folder = _folder(directory)
    external = _external(folder)
    if external.all:
        return _services(external, folder, None, None)
    postgres, valkey = PostgresServer(folder / "postgres", fast=fast), ValkeyServer(folder / "valkey", appendfsync=appendfsync)
    with _lock(folder):
        started_postgres = external.database is None and postgres.start()
        try:
            started_valkey = external.broker is None and valkey.start()
        except BaseException:
            if started_postgres:
                postgres.stop()
            raise
        running_postgres = None if external.database else RunningServer(_pid(postgres), postgres.port, started_postgres)
        running_valkey = None if external.broker else RunningServer(_pid(valkey), valkey.port, started_valkey)
        services = _services(external, folder, running_postgres, running_valkey)
        process.write_private(folder / STATE_FILE, json.dumps(services.as_json(), indent=2) + "\n")
    return services


def down(directory: Path | None = None, *, delete: bool = False) -> list[str]:
    """Stop the embedded servers that run in a folder, whoever started them, and keep their data.

    Args:
        directory: as for `up`.
        delete: remove the servers' data, passwords and logs as well.

    Returns:
        The names of the servers that were running.
    """
    folder = _folder(directory)
    if not folder.exists():
        return []
    with _lock(folder):
        servers: dict[str, PostgresServer | ValkeyServer] = {
            "valkey": ValkeyServer(folder / "valkey"),
            "postgres": PostgresServer(folder / "postgres"),
        }
        stopped = [name for name, server in servers.items() if server.stop()]
        if delete:
            (folder / STATE_FILE).unlink(missing_ok=True)
            for existing in [folder / name for name in servers if (folder / name).exists()]:
                shutil.rmtree(existing)
    return stopped


def status(directory: Path | None = None) -> list[ServerStatus]:
    """What is known of PostgreSQL and Valkey, in this order; a server that does not answer is not running."""
    folder = _folder(directory)
    external = _external(folder)
    servers: tuple[tuple[str, PostgresServer | ValkeyServer, bool], ...] = (
        ("postgres", PostgresServer(folder / "postgres"), external.database is not None),
        ("valkey", ValkeyServer(folder / "valkey"), external.broker is not None),
    )
    return [ServerStatus(name, running=True, external=True) if elsewhere else _status(name, server) for name, server, elsewhere in servers]


def running(directory: Path | None = None) -> Services | None:
    """Where PostgreSQL and the broker are, if the last `up` in a folder still holds; None if one of its servers is down.

    URLs in the environment come first; where they name both servers the folder is not looked at.
    """
    folder = _folder(directory)
    external = _external(folder)
    if external.all:
        return _services(external, folder, None, None)
    state = process.read_record(folder / STATE_FILE)
    if state is None:
        return None
    postgres = None if external.database else _still_running(PostgresServer(folder / "postgres"), state.get("postgres"))
    valkey = None if external.broker else _still_running(ValkeyServer(folder / "valkey"), state.get("valkey"))
    if (postgres is None and not external.database) or (valkey is None and not external.broker):
        return None
    return _services(external, folder, postgres, valkey)


def _external(folder: Path) -> _External:
    """The servers that the environment names, but for this folder's own, whose URLs `services env` may have put there."""
    # Not from the process's cached configuration: a caller may put our URLs into the environment before that is first read.
    current = configuration.__wrapped__()
    database, owner, broker = (
        url.get_secret_value() or None if url is not None else None for url in (current.database_url, current.database_owner_url, current.broker_url)
    )
    if owner is not None and database is None:
        raise Misconfigured("DATABASE_OWNER_URL is set, but DATABASE_URL is not: set both or none")
    own = process.read_record(folder / STATE_FILE) or {}
    if own.get("postgres") and database == own.get("database_url"):
        database, owner = None, None
    if own.get("valkey") and broker == own.get("broker_url"):
        broker = None
    return _External(database, owner or database, broker)


def _folder(directory: Path | None) -> Path:
    # Symbolic links stay in it, so that make_directory can tell whose they are.
    return (directory if directory is not None else default_dir()).absolute()


def _services(external: _External, folder: Path, postgres: RunningServer | None, valkey: RunningServer | None) -> Services:
    return Services(
        database_url=external.database or PostgresServer(folder / "postgres").url(),
        database_owner_url=external.owner or PostgresServer(folder / "postgres").url(OWNER),
        broker_url=external.broker or ValkeyServer(folder / "valkey").url(),
        directory=folder,
        postgres=postgres,
        valkey=valkey,
    )


def _status(name: str, server: PostgresServer | ValkeyServer) -> ServerStatus:
    pid = server.pid
    if pid is None or not server.answers():
        return ServerStatus(name, running=False, pid=pid, directory=server.directory)
    return ServerStatus(name, running=True, pid=pid, port=server.port, directory=server.directory, version=server.version())


def _still_running(server: PostgresServer | ValkeyServer, recorded: Any) -> RunningServer | None:
    pid = server.pid
    if pid is None or not isinstance(recorded, dict) or recorded.get("pid") != pid:
        return None
    return RunningServer(pid, server.port, started=False)


def _pid(server: PostgresServer | ValkeyServer) -> int:
    pid = server.pid
    if pid is None:
        raise ServerFailed(f"the server of {server.directory} ended as soon as it had started; its log {server.log}:\n{process.log_tail(server.log)}")
    return pid


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Only one `up` or `down` at a time works in a folder."""
    process.make_directory(folder)
    descriptor = os.open(folder / "services.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "rb") as lock:
        process.hand_over(lock.fileno(), folder)
        if not process.wait_until(lambda: _locked(lock.fileno()), LOCK_SECONDS):
            raise ServerFailed(f"another `tollbook services` has been at work in {folder} for {LOCK_SECONDS:.0f} s")
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
