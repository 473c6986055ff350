"""The way to PostgreSQL: what a session guarantees, and which error each failure becomes."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, make_url, text

from core.config import Configuration
from core.database.answers import ImpatientConnection
from core.database.database import Database, allow_time, savepoint
from core.errors import BadData, Misconfigured, NotLetIn, StorageUnavailable, TollbookError
from core.events.outcome import Outcome
from core.recording import record_usage as recording
from core.recording.batch import settle_batch
from lab.postgres import PostgresServer
from lab.process import free_port
from tests.conftest import DatabaseUrls, Record, Row, Rows
from tests.sample_events import EventLike, event
from tests.scene import PutMandate

MakeConfig = Callable[..., Configuration]


def _one(connection: Connection, sql: str) -> Any:
    return connection.execute(text(sql)).scalar_one()


def _answer_seconds(connection: Connection) -> float | None:
    driver_connection = connection.connection.driver_connection
    assert isinstance(driver_connection, ImpatientConnection)
    return driver_connection.answer_seconds


def test_only_who_allows_time_waits_longer_than_postgresql_would(database_urls: DatabaseUrls, make_config: MakeConfig) -> None:
    """An answer is waited for a little longer than PostgreSQL works on it; without a limit only until the transaction ends."""
    database = Database(database_urls.worker, make_config(statement_timeout_seconds=7, database_pool_size=1))
    with database.transaction() as connection:
        assert _answer_seconds(connection) == 12
    with database.snapshot() as connection:
        allow_time(connection)
        assert (_answer_seconds(connection), _one(connection, "SHOW statement_timeout")) == (None, "0")
    with database.transaction() as connection:
        assert (_answer_seconds(connection), _one(connection, "SHOW statement_timeout")) == (12, "7s")
    database.dispose()


def test_a_connection_that_gave_no_answer_is_not_used_again(database_urls: DatabaseUrls, config: Configuration) -> None:
    """Whoever waits too long gets StorageUnavailable, and the next transaction another session, not the late answer."""
    database = Database(database_urls.worker, config)
    sessions = []

    def ask_too_much() -> None:
        with database.transaction() as connection:
            sessions.append(_one(connection, "SELECT pg_backend_pid()"))
            driver_connection = connection.connection.driver_connection
            assert isinstance(driver_connection, ImpatientConnection)
            driver_connection.answer_seconds = 0.1
            connection.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(StorageUnavailable, match="no answer within"):
        ask_too_much()
    with database.transaction() as connection:
        assert _one(connection, "SELECT pg_backend_pid()") not in sessions
    database.dispose()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
        ("transaction_isolation", "read committed"),
        ("statement_timeout", "7s"),
        ("lock_timeout", "2500ms"),
    ],
)
def test_every_session_has_the_settings_that_the_books_rest_on(name: str, value: str, database_urls: DatabaseUrls, make_config: MakeConfig) -> None:
    """Whatever the server's defaults are: durable commits, UTC, READ COMMITTED, and timeouts as configured."""
    database = Database(database_urls.worker, make_config(statement_timeout_seconds=7, lock_timeout_seconds=2.5))
    with database.transaction() as connection:
        assert _one(connection, f"SHOW {name}") == value
    database.dispose()


def _insert_and_fail(connection: Connection) -> None:
    connection.execute(text("INSERT INTO directory_users (id) VALUES ('lost')"))
    raise ZeroDivisionError


def test_a_transaction_that_raises_leaves_nothing(database: Database, rows: Rows) -> None:
    """Committed at the end of the block, rolled back by any exception, which comes out as it is."""
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO directory_users (id) VALUES ('kept')"))
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        _insert_and_fail(connection)
    assert [row["id"] for row in rows("SELECT id FROM directory_users")] == ["kept"]


def test_a_savepoint_is_undone_alone(database: Database, rows: Rows) -> None:
    """What the database refuses inside is BadData, and the transaction around it goes on."""
    with database.transaction() as connection:
        connection.execute(text("INSERT INTO directory_users (id) VALUES ('kept')"))
        with pytest.raises(BadData) as caught, savepoint(connection):
            connection.execute(text("INSERT INTO directory_users (id) VALUES ('lost'), ('kept')"))
        assert caught.value.sqlstate == "23505"
    assert [row["id"] for row in rows("SELECT id FROM directory_users")] == ["kept"]


def test_a_snapshot_sees_one_moment_and_writes_nothing(database: Database, rows: Rows) -> None:
    """Reads in one block agree with each other whatever is committed meanwhile; a write is refused."""
    with database.snapshot() as connection:
        assert _one(connection, "SELECT count(*) FROM directory_users") == 0
        rows("INSERT INTO directory_users (id) VALUES ('late')")
        assert _one(connection, "SELECT count(*) FROM directory_users") == 0
    with pytest.raises(TollbookError, match="25006"), database.snapshot() as connection:
        connection.execute(text("INSERT INTO directory_users (id) VALUES ('x')"))
    with database.transaction() as connection:
        assert _one(connection, "SHOW transaction_read_only") == "off"
        assert _one(connection, "SHOW transaction_isolation") == "read committed"


_ERRORS = {
    BadData: ["21000", "22003", "22021", "22P05", "23502", "23503", "23505", "23514"],
    Misconfigured: ["3F000", "42501", "42P01", "42703"],
    NotLetIn: ["28000", "28P01", "3D000"],
    StorageUnavailable: [
        "08006",
        "25006",
        "25P03",
        "40001",
        "40P01",
        "53100",
        "53200",
        "53300",
        "55P03",
        "57014",
        "57P01",
        "57P03",
        "58030",
        "XX000",
        "P0001",
    ],
}


@pytest.mark.parametrize(("state", "expected"), [(state, error) for error, states in _ERRORS.items() for state in states])
def test_each_state_of_the_database_is_one_kind_of_error(state: str, expected: type[TollbookError], database: Database) -> None:
    """Bad data is bisected, an operator's matter stops the worker, everything else is tried again: never the wrong one of them."""
    with pytest.raises(expected, match=state) as caught, database.transaction() as connection:
        connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$"))
    assert type(caught.value) is expected
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"password": "wrong-hunter2"}, Misconfigured),
        ({"database": "nowhere"}, Misconfigured),
        ({"username": "nobody"}, Misconfigured),
        ({"port": 0}, StorageUnavailable),
        ({"host": "host.invalid"}, StorageUnavailable),
    ],
    ids=str,
)
def test_a_connection_that_fails_tells_who_must_act(
    change: dict[str, Any], expected: type[TollbookError], database_urls: DatabaseUrls, config: Configuration
) -> None:
    """A refused login needs an operator, an unreachable server needs time; neither message has the password."""
    changed = {**change, "port": free_port()} if "port" in change else change
    url = make_url(database_urls.worker).set(**changed)
    database = Database(url.render_as_string(hide_password=False), config)
    with pytest.raises(expected) as caught, database.transaction():
        pass
    assert str(url.password) not in str(caught.value)
    database.dispose()


def test_options_of_the_url_hold(database_urls: DatabaseUrls, config: Configuration) -> None:
    """The first of several hosts that answers and may be written to is used; what the URL sets is set, next to what the books rest on."""
    url = make_url(database_urls.worker)
    own = f"postgresql://{url.username}:{url.password}@127.0.0.1:{free_port()},{url.host}:{url.port}/{url.database}"
    database = Database(f"{own}?target_session_attrs=read-write&application_name=billing&options=-c%20work_mem%3D5MB%20-c%20jit=off", config)
    with database.transaction() as connection:
        shown = {name: _one(connection, f"SHOW {name}") for name in ("application_name", "work_mem", "jit", "synchronous_commit", "search_path")}
    assert shown == {"application_name": "billing", "work_mem": "5MB", "jit": "off", "synchronous_commit": "on", "search_path": "public"}
    database.dispose()


def test_a_schema_of_the_logins_own_changes_nothing(database: Database, rows: Rows) -> None:
    """Whatever search_path the login has: the tables are those in `public`."""
    rows("CREATE SCHEMA tollbook_app")
    rows("CREATE TABLE tollbook_app.directory_users (id text)")
    rows("GRANT USAGE ON SCHEMA tollbook_app TO tollbook_app")
    with database.transaction() as connection:
        assert _one(connection, "SELECT CAST('directory_users' AS regclass) = CAST('public.directory_users' AS regclass)")


def test_a_statement_that_takes_too_long_is_cancelled(database_urls: DatabaseUrls, make_config: MakeConfig) -> None:
    """The session's own timeout makes it StorageUnavailable."""
    database = Database(database_urls.worker, make_config(statement_timeout_seconds=0.05))
    with pytest.raises(StorageUnavailable, match="57014"), database.transaction() as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    database.dispose()


def test_a_lock_that_does_not_come_free_is_given_up(database_urls: DatabaseUrls, make_config: MakeConfig, owner_database: Database) -> None:
    """The session's own lock timeout makes it StorageUnavailable."""
    database = Database(database_urls.worker, make_config(lock_timeout_seconds=0.05))
    with owner_database.transaction() as holder:
        holder.execute(text("LOCK TABLE directory_users IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StorageUnavailable, match="55P03"), database.transaction() as connection:
            connection.execute(text("SELECT * FROM directory_users"))
    database.dispose()


def test_a_process_out_of_connections_waits_and_gives_up(database_urls: DatabaseUrls, make_config: MakeConfig) -> None:
    """More transactions at once than the pool has connections: a named error, not a hang."""
    database = Database(database_urls.worker, make_config(database_pool_size=1, lock_timeout_seconds=0.05))
    with database.transaction(), pytest.raises(StorageUnavailable, match="in use"), database.transaction():
        pass
    database.dispose()


def _terminate(rows: Rows) -> None:
    rows("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'tollbook_app' AND datname = current_database()")


@pytest.fixture
def administrator_rows(postgres: PostgresServer, database_urls: DatabaseUrls) -> Rows:
    """Runs SQL in the test's database as the superuser."""
    url = postgres.url("postgres", make_url(database_urls.owner).database or "")

    def run(sql: str, **parameters: object) -> list[Row]:
        with psycopg.connect(url) as connection:
            connection.execute(sql, parameters)
        return []

    return run


def test_a_session_ended_while_idle_is_replaced_unnoticed(database: Database, administrator_rows: Rows) -> None:
    """The pool looks at a connection before it hands it out."""
    with database.transaction() as connection:
        assert _one(connection, "SELECT 1") == 1
    _terminate(administrator_rows)
    with database.transaction() as connection:
        assert _one(connection, "SELECT 1") == 1


def test_a_session_ended_in_the_middle_of_a_batch_leaves_nothing(
    record: Record, rows: Rows, administrator_rows: Rows, put_mandate: PutMandate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the commit: StorageUnavailable, nothing written, and the same call afterwards records everything once."""
    put_mandate(users=["ada"])
    batch: list[EventLike] = [event(), event(), b"bad", event(mandate_id="nobody")]
    original = settle_batch

    def cut(*arguments: Any, **options: Any) -> Any:
        settled = original(*arguments, **options)
        monkeypatch.setattr(recording, "settle_batch", original)
        _terminate(administrator_rows)
        return settled

    monkeypatch.setattr(recording, "settle_batch", cut)
    with pytest.raises(StorageUnavailable):
        record(*batch)
    for table in ("transactions", "event_keys", "accounts", "billing_settings", "batches", "dead_letters", "parked_events", "rollup_pending"):
        assert rows(f"SELECT * FROM {table}") == []
    expected = [Outcome.RECORDED, Outcome.RECORDED, Outcome.REJECTED, Outcome.PARKED]
    assert record(*batch).outcomes == expected
    assert len(rows("SELECT * FROM transactions WHERE reference_type = 'WORKFLOW'")) == 2


def test_a_batch_that_failed_unexpectedly_is_forgotten(record: Record, rows: Rows, put_mandate: PutMandate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts opened in a transaction that was rolled back are not remembered by the process."""
    put_mandate(users=["ada"])
    original = settle_batch

    def fail(*arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        monkeypatch.setattr(recording, "settle_batch", original)
        raise ZeroDivisionError

    monkeypatch.setattr(recording, "settle_batch", fail)
    with pytest.raises(ZeroDivisionError):
        record(event())
    assert record(event(), event()).outcomes == [Outcome.RECORDED] * 2
    assert len(rows("SELECT DISTINCT t.id FROM transactions t JOIN accounts a ON a.id = t.account_id")) == 3
