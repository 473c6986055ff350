"""Failover to a synchronous standby, as often as one likes: the roles of two servers alternate."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from lab import process
from lab.postgres import DATABASE, STANDBY, SUPERUSER, WORKER, PostgresServer
from lab.process import ServerFailed
from lab.proxy import Proxy

SYNC_SECONDS = 60.0
_NAME = "tollbook_standby"  # of the standby's connection and of its replication slot
_FOLLOWS = """SELECT FROM pg_stat_replication WHERE application_name = %s AND sync_state = 'sync' AND flush_lsn >= %s::pg_lsn"""


class StandbyPair:
    """A running PostgreSQL server and a second one that has everything which the first has told its clients is committed.

    What commits with `synchronous_commit` on (or `remote_apply`) waits for the standby's disk, so that nothing that was told committed is lost
    by `fail_over`. One thing of PostgreSQL's own breaks that: `pg_cancel_backend` on a session that waits for the standby makes its COMMIT
    succeed with no more than a warning; `pg_terminate_backend` ends it without an answer and is harmless. `ALTER SYSTEM` isn't replicated: what
    was set so holds on the standby only if it held when that was made.

    Args:
        primary: a running server, which isn't `fast`.
        directory: the second server's own folder, which `rebuild` makes. For root, one that the unprivileged account can reach.
    """

    def __init__(self, primary: PostgresServer, directory: Path) -> None:
        self.primary = primary
        self.standby = PostgresServer(directory, programs=primary.program("postgres").parent, extra=primary.extra)

    def url(self, user: str = WORKER, database: str = DATABASE) -> str:
        """The URL by which a login reaches a database of whichever server is the primary now; passwords never change."""
        return self.primary.url(user, database)

    def is_synchronous(self) -> bool:
        """Whether the primary's commits wait for the standby, which follows and has all earlier ones."""
        try:
            with psycopg.connect(self.primary.url(SUPERUSER, "postgres"), autocommit=True) as connection:
                return _waits_for_standby(connection) and _has_all(connection)
        except psycopg.OperationalError:
            return False

    def rebuild(self) -> None:
        """See to it that the primary has a synchronous standby: made anew, and whatever it had in its folder is gone.

        Clients go on meanwhile.

        Raises:
            ServerFailed: the primary is `fast`, or the standby can't be made or doesn't catch up; the message says why.
        """
        if self.primary.fast:
            raise ServerFailed("a `fast` server tells its clients of commits before they are on disk: make the primary without")
        self.alone()
        self._copy()
        self.standby.start()
        with psycopg.connect(self.primary.url(SUPERUSER, "postgres"), autocommit=True) as connection:
            _set(connection, "synchronous_standby_names", _NAME)
        if not process.wait_until(self._reloaded, SYNC_SECONDS):
            raise ServerFailed(f"{self.primary.data} does not take up its settings; its log {self.primary.log}")
        with psycopg.connect(self.primary.url(SUPERUSER, "postgres"), autocommit=True) as connection:
            # The checkpointer tells every session that commits wait; once it has made this checkpoint it has, and what didn't wait is before now.
            connection.execute("CHECKPOINT")
            if not process.wait_until(lambda: _has_all(connection), SYNC_SECONDS):
                raise ServerFailed(f"{self.standby.data} does not catch up; its log {self.standby.log}:\n{process.log_tail(self.standby.log)}")

    def fail_over(self, *proxies: Proxy) -> PostgresServer:
        """Kill the primary (SIGKILL), promote the standby and lead the proxies there; the new primary has no standby until `rebuild`.

        The former primary can't be written any more, even if somebody starts it.

        Returns:
            The new primary.

        Raises:
            ServerFailed: there is no synchronous standby (nothing is done), or it isn't promoted.
        """
        if not self.is_synchronous():
            raise ServerFailed(f"{self.standby.data} is no synchronous standby of {self.primary.data}: `rebuild` makes it one")
        self.primary.kill()
        _mark_standby(self.primary)
        self.primary, self.standby = self.standby, self.primary
        with psycopg.connect(self.primary.url(SUPERUSER, "postgres"), autocommit=True) as connection:
            promoted = connection.execute("SELECT pg_promote(true, 60)").fetchone()
            if promoted != (True,):
                raise ServerFailed(f"{self.primary.data} is not promoted; its log {self.primary.log}:\n{process.log_tail(self.primary.log)}")
        for proxy in proxies:
            proxy.lead_to(self.primary.url(SUPERUSER, "postgres"))
        return self.primary

    def alone(self) -> None:
        """Let the primary work without a standby, which is ended as a crash would."""
        with psycopg.connect(self.primary.url(SUPERUSER, "postgres"), autocommit=True) as connection:
            _set(connection, "synchronous_standby_names", "")
            self.standby.kill()
            inactive = f"SELECT FROM pg_replication_slots WHERE slot_name = '{_NAME}' AND active"
            process.wait_until(lambda: connection.execute(inactive).fetchone() is None, SYNC_SECONDS)
            connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [_NAME])

    def _reloaded(self) -> bool:
        with psycopg.connect(self.primary.url(SUPERUSER, "postgres"), autocommit=True) as connection:
            return _waits_for_standby(connection)  # a session that begins now begins with what the server has taken up

    def _copy(self) -> None:
        """A base backup of the primary in the standby's folder, which follows the primary once it starts."""
        account = process.server_account(self.primary.data)
        self.standby.take_logins(self.primary)
        draft = self.standby.directory / "data.new"
        for old in (draft, self.standby.data):
            shutil.rmtree(old, ignore_errors=True)
        process.make_directory(draft, account)
        parts = urlsplit(self.primary.url(SUPERUSER, "postgres"))
        login = ["-h", "127.0.0.1", "-p", str(parts.port), "-U", SUPERUSER, "-w"]
        how = ["-X", "stream", "-C", "-S", _NAME, "-c", "fast", "--no-sync"]
        command: list[str | Path] = [self.primary.program("pg_basebackup"), *login, *how, "-D", draft]
        done = process.run(command, account, variables={"PGPASSWORD": parts.password or ""})
        if done.returncode != 0:
            raise ServerFailed(f"pg_basebackup of {self.primary.data} failed:\n{done.stdout.strip()}")
        settings = {
            "primary_conninfo": f"host=127.0.0.1 port={parts.port} user={SUPERUSER} password={parts.password} application_name={_NAME}",
            "primary_slot_name": _NAME,
            "synchronous_standby_names": "",  # as a primary it waits for nobody until it has a standby
            "wal_retrieve_retry_interval": "200ms",
        }
        with (draft / "postgresql.auto.conf").open("a", encoding="utf-8") as output:
            output.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        draft.rename(self.standby.data)
        _mark_standby(self.standby)


def _set(connection: psycopg.Connection[tuple[object, ...]], name: str, value: str) -> None:
    connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
    connection.execute("SELECT pg_reload_conf()")


def _waits_for_standby(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    return connection.execute("SHOW synchronous_standby_names").fetchone() == (_NAME,)


def _has_all(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether the standby is synchronous and has on its disk what was written before this call."""
    found = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    assert found
    return process.wait_until(lambda: connection.execute(_FOLLOWS, [_NAME, found[0]]).fetchone() is not None, 1.0)


def _mark_standby(server: PostgresServer) -> None:
    mark = server.data / STANDBY
    mark.touch(mode=0o600)
    process.hand_over(mark, server.data)
