"""A private PgBouncer from the distribution's package `pgbouncer`, in transaction mode before one of our PostgreSQL servers, for tests."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from core.errors import Misconfigured
from lab import process
from lab.process import ServerExited, ServerFailed

PROGRAM = Path("/usr/sbin/pgbouncer")
INSTALL = "there is no pgbouncer on this machine: install it with `apt-get install pgbouncer` (its own service isn't needed)"
IGNORED_OPTIONS = "ignore_startup_parameters = options,extra_float_digits"  # as most installations have it; without it options are refused


def is_installed() -> bool:
    """Whether a PgBouncer can be started here."""
    return PROGRAM.exists()


class PgBouncer:
    """A PgBouncer on 127.0.0.1 that hands each transaction the next free session; it outlives this process.

    Args:
        directory: its own folder; `start` makes it. For root, one that the unprivileged account can reach.
        url: of the server behind it, with any login; all databases of that server are reached.
        users: passwords by login.
        settings: further lines of its section `[pgbouncer]`; the later of two counts.
    """

    def __init__(self, directory: Path, url: str, users: dict[str, str], *, settings: Sequence[str] = (IGNORED_OPTIONS,)) -> None:
        self.directory, self._behind, self._users, self._settings = directory.resolve(), urlsplit(url), users, settings
        self.log, self._record_path, self._file = (self.directory / name for name in ("server.log", "server.json", "pgbouncer.ini"))

    @property
    def pid(self) -> int | None:
        """The pid of the running process, or None."""
        pid = (process.read_record(self._record_path) or {}).get("pid")
        return pid if pid is not None and process.is_alive(pid) else None

    def url(self, url: str) -> str:
        """`url`, of a database behind it, as clients reach it here."""
        record = process.read_record(self._record_path) or {}
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{record['port']}"))

    def start(self) -> None:
        """See to it that it answers, on the port of its last start where that is free.

        Raises:
            ServerFailed: it does not start; the message ends with its log.
            Misconfigured: there is no PgBouncer on this machine.
        """
        if self.pid is not None:
            return
        if not is_installed():
            raise Misconfigured(INSTALL)
        account = process.server_account(self.directory if self.directory.exists() else None)
        process.make_directory(self.directory, account)
        process.write_private(self.directory / "users.txt", "".join(f'"{name}" "{word}"\n' for name, word in self._users.items()), account)
        for attempts_left in (2, 1, 0):
            port = process.free_port((process.read_record(self._record_path) or {}).get("port"))
            process.write_private(self._record_path, json.dumps({"port": port}), account)
            process.write_private(self._file, self._configuration(port), account)
            try:
                pid = process.launch([PROGRAM, self._file], account, self.log, self._listens)
                break
            except ServerExited:
                if not attempts_left:
                    raise
        process.write_private(self._record_path, json.dumps({"port": port, "pid": pid}), account)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        if self.pid is not None:
            process.terminate(self.pid, {signal.SIGKILL: 10.0})

    def restart(self) -> None:
        """Kill it and start it again on the same port, as a service manager does.

        Raises:
            ServerFailed: as for `start`, or another process has taken the port meanwhile.
        """
        before = self.url("postgresql://nobody@/")
        self.kill()
        self.start()
        if self.url("postgresql://nobody@/") != before:
            raise ServerFailed(f"PgBouncer's port was taken by another process: {self.directory}")

    def _listens(self) -> bool:
        try:
            psycopg.connect(self.url("postgresql://nobody@/pgbouncer"), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            return "refused" not in str(error)  # it needs no login to tell that it is there
        return True

    def _configuration(self, port: int) -> str:
        lines = [
            "[databases]",
            f"* = host={self._behind.hostname} port={self._behind.port}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {port}",
            "unix_socket_dir =",
            "auth_type = plain",
            f"auth_file = {self.directory / 'users.txt'}",
            "pool_mode = transaction",
            "default_pool_size = 4",
            "server_login_retry = 1",
            *self._settings,
        ]
        return "\n".join(lines) + "\n"
