"""How a connection to PostgreSQL is opened, so that each transaction has the settings that the books rest on, whoever stands between.

On a connection of its own they are set once, at its start. Behind a pooler that gives each transaction another session (PgBouncer with
`pool_mode = transaction`) nothing may rest on the session: they are set in each transaction, and nothing is prepared.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext

from core.database.answers import ImpatientConnection
from core.database.failures import connection_failure, refuses_options
from core.database.urls import connection_parameters, settings_in, startup_options
from core.errors import Misconfigured, NotLetIn

_READ_ONLY = "25006"  # read_only_sql_transaction
_WHOSE = "SELECT pg_backend_pid(), current_setting('server_encoding')"
_LOOK_SECONDS = 60.0  # a pooler may be long in finding a session
_DURABLE = "synchronous_commit"
# Unless the URL says otherwise.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "tollbook",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds: a vanished host is noticed while its claims are still ours
}


class Way:
    """The way to one database: its URL, and the settings that each of its transactions has.

    Args:
        url: the database's, with a login.
        variable: the environment variable that has the URL, for messages.
        settings: names and values of PostgreSQL's settings; the URL may ask for others, not for other values of these.
        pooled: whether a pooler is taken for granted; else it is noticed.

    Raises:
        Misconfigured: the URL can't be used.
    """

    def __init__(self, url: str, variable: str, settings: Mapping[str, str], *, pooled: bool = False) -> None:
        parameters = connection_parameters(url, variable)
        self._settings = settings_in(parameters, variable)
        for name in self._settings.keys() & settings.keys():
            if self._settings[name] != settings[name]:
                raise Misconfigured(f"{variable}: the option {name} can't be set there, it is {settings[name]!r} always; leave it out")
        self._settings |= settings
        self._parameters: dict[str, Any] = {**_DEFAULTS, **parameters, "client_encoding": "UTF8"}
        self._parameters.pop("options", None)
        self._variable, self._pooled, self._was_let_in = variable, pooled, False

    def open(self, answer_seconds: float | None = None) -> ImpatientConnection:
        """A new connection.

        Raises:
            StorageUnavailable: there is none now; NotLetIn: because the login is refused, which it wasn't always.
            Misconfigured: the login is refused and always was, or the database is none for the books.
        """
        try:
            connection = self._connected()
            connection.answer_seconds = answer_seconds or _LOOK_SECONDS
            self._judge(connection)
        except psycopg.Error as error:
            failure = connection_failure(error, self._variable)
            if isinstance(failure, NotLetIn) and not self._was_let_in:
                raise Misconfigured(str(failure)) from error
            raise failure from error
        self._was_let_in = True
        connection.answer_seconds = answer_seconds
        return connection

    def prepare(self, connection: Connection) -> None:
        """Gives a transaction that has just begun its settings, where they don't come with the connection.

        Raises:
            Misconfigured: what is committed would not be on disk.
        """
        driver_connection = connection.connection.driver_connection
        if isinstance(driver_connection, ImpatientConnection) and driver_connection.is_pooled:
            chosen = ", ".join(f"set_config('{name}', :{name.replace('.', '_')}, true) AS \"{name}\"" for name in self._settings)
            values = {name.replace(".", "_"): value for name, value in self._settings.items()}
            now = connection.execute(text(f"SELECT {chosen}"), values).mappings().one()
            if _DURABLE in self._settings and now[_DURABLE] != self._settings[_DURABLE]:
                raise Misconfigured(f"{self._variable}: {_DURABLE} stays {now[_DURABLE]!r} behind this pooler: what is committed may be lost")

    def _connected(self) -> ImpatientConnection:
        if not self._pooled:
            try:
                return ImpatientConnection.connect(**self._parameters, options=startup_options(self._settings), autocommit=True)
            except psycopg.OperationalError as error:
                if not refuses_options(error):
                    raise
        return ImpatientConnection.connect(**self._parameters, autocommit=True)

    def _judge(self, connection: ImpatientConnection) -> None:
        """Looks whose session it is, since a pooler's greeting has a number of its own, and whether the database is one for the books."""
        try:
            self._look_at(connection)
        except BaseException:
            connection.close()
            raise

    def _look_at(self, connection: ImpatientConnection) -> None:
        row = connection.execute(_WHOSE).fetchone()
        assert row is not None
        process_id, encoding = row
        if encoding != "UTF8":
            raise Misconfigured(
                f"{self._variable}: the database {connection.info.dbname} is encoded in {encoding}, and the books need UTF8;"
                " make another one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        if self._pooled or process_id != connection.info.backend_pid:
            connection.is_pooled, connection.prepare_threshold = True, None
        connection.autocommit = False


def open_engine(way: Way, *, answer_seconds: float | None = None, **options: Any) -> Engine:
    """SQLAlchemy's pool of connections that come this way."""
    engine = create_engine("postgresql+psycopg://", **options)

    def bound(connection: ImpatientConnection | None, _record: object) -> None:
        if connection is not None:  # it is still there
            connection.answer_seconds = answer_seconds

    event.listen(engine, "do_connect", lambda *_: way.open(answer_seconds))
    event.listen(engine, "begin", way.prepare)
    event.listen(engine, "checkin", bound)
    event.listen(engine, "handle_error", _drop_read_only_session)
    return engine


def _drop_read_only_session(context: ExceptionContext) -> None:
    """After a failover an old session may be read-only for ever, while a new one finds the primary: it must not go back to the pool."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True
