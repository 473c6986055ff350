"""What a PostgreSQL server says of itself to one login: what decides whether what it commits lasts, and whether it has room for us."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from core.database.answers import ImpatientConnection
from core.database.rows import rows

_SERVER = text("""
    SELECT current_setting('server_version') AS version, current_setting('server_version_num') AS version_number,
           session_user AS login, current_database() AS database, pg_is_in_recovery() AS is_standby,
           (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl) AS tls,
           current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
           current_setting('synchronous_commit') AS synchronous_commit, current_setting('autovacuum') AS autovacuum,
           current_setting('default_transaction_read_only') = 'on' AS is_read_only,
           CAST(current_setting('max_connections') AS int) - CAST(current_setting('superuser_reserved_connections') AS int)
               - CAST(coalesce(current_setting('reserved_connections', true), '0') AS int) AS connections_max,
           (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database) AS connections,
           (SELECT max(age(datfrozenxid)) FROM pg_database) AS oldest_transaction
""")
_NOW = text("SELECT clock_timestamp()")


@dataclass(frozen=True, slots=True)
class Server:
    """A server as one session of one login sees it.

    `tls`: the version of the protocol, none where the session isn't encrypted (behind a pooler: the pooler's session). `connections_max`:
    how many there may be of others than superusers. `oldest_transaction`: how many transactions ago the oldest one lies that isn't frozen.
    """

    version: str
    version_number: int
    login: str
    database: str
    is_standby: bool
    is_read_only: bool
    tls: str | None
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    autovacuum: str
    connections_max: int
    connections: int
    oldest_transaction: int


def server_of(connection: Connection) -> Server:
    """What the server says of itself."""
    (server,) = rows(connection, Server, _SERVER)
    return server


def server_time(connection: Connection) -> datetime:
    """The server's clock, now and not when the transaction began."""
    now: datetime = connection.execute(_NOW).scalar_one()
    return now


def is_pooled(connection: Connection) -> bool:
    """Whether something between gives each transaction another session (core/database/sessions.py)."""
    driver_connection = connection.connection.driver_connection
    return isinstance(driver_connection, ImpatientConnection) and driver_connection.is_pooled
