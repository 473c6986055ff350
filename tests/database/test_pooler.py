"""Behind PgBouncer in transaction mode nothing rests on the session: each transaction has the settings of a connection of its own."""

from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import Connection, make_url, text

from core.config import Configuration
from core.database.answers import ImpatientConnection
from core.database.database import Database, allow_time
from core.database.sessions import Way, open_engine
from core.errors import Misconfigured, StorageUnavailable
from core.schema import migrate, revision
from lab.bench.upgrade import SET_BACK
from lab.pgbouncer import IGNORED_OPTIONS
from tests.conftest import DatabaseUrls, StartPooler

SETTINGS = ("synchronous_commit", "timezone", "search_path", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


def _settings(connection: Connection) -> dict[str, str]:
    return {name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in SETTINGS}


def _is_pooled(connection: Connection) -> bool:
    driver_connection = connection.connection.driver_connection
    assert isinstance(driver_connection, ImpatientConnection)
    return driver_connection.is_pooled


@pytest.mark.parametrize("lines", [(IGNORED_OPTIONS,), ("ignore_startup_parameters = extra_float_digits",), ("pool_mode = session", IGNORED_OPTIONS)])
def test_a_pooler_is_noticed_and_each_transaction_set(
    lines: tuple[str, ...], start_pooler: StartPooler, database_urls: DatabaseUrls, make_config: Callable[..., Configuration]
) -> None:
    """Whether it ignores the start's options or refuses them: the settings are those of a direct connection, in snapshots too."""
    config = make_config(statement_timeout_seconds=7, lock_timeout_seconds=2)
    direct, pooled = Database(database_urls.worker, config), Database(start_pooler(*lines).url(database_urls.worker), config)
    with direct.transaction() as connection:
        expected = _settings(connection)
        assert not _is_pooled(connection)
    assert (expected["synchronous_commit"], expected["statement_timeout"]) == ("on", "7s")
    for _ in range(3):
        with pooled.transaction() as connection:
            assert _settings(connection) == expected
            assert _is_pooled(connection)
        with pooled.snapshot() as connection:
            assert _settings(connection) == expected
            allow_time(connection)
            assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "0"
            assert connection.execute(text("SHOW transaction_isolation")).scalar_one() == "repeatable read"
    direct.dispose()
    pooled.dispose()


def test_nothing_is_left_in_a_poolers_sessions(
    start_pooler: StartPooler, database_urls: DatabaseUrls, make_config: Callable[..., Configuration]
) -> None:
    """Two clients share one session, over and over: neither finds the other's prepared statements, settings or temporary tables."""
    pooler = start_pooler(IGNORED_OPTIONS, "default_pool_size = 1")
    clients = [Database(pooler.url(database_urls.worker), make_config(statement_timeout_seconds=seconds)) for seconds in (7, 9)]
    for n in range(12):
        for client, patience in zip(clients, ("7s", "9s"), strict=True):
            with client.transaction() as connection:
                assert connection.execute(text("SELECT CAST(:n AS int)"), {"n": n}).scalar_one() == n
                assert connection.execute(text("SHOW statement_timeout")).scalar_one() == patience
                assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0
                connection.execute(text("CREATE TEMPORARY TABLE staged (id int) ON COMMIT DROP"))
    for client in clients:
        client.dispose()


def test_a_pooler_can_be_taken_for_granted(database_urls: DatabaseUrls, make_config: Callable[..., Configuration]) -> None:
    """With TOLLBOOK_DATABASE_POOLER=transaction also what looks like a server of its own gets its settings in each transaction."""
    database = Database(database_urls.worker, make_config(database_pooler="transaction", statement_timeout_seconds=7))
    with database.transaction() as connection:
        assert _is_pooled(connection)
        assert _settings(connection)["statement_timeout"] == "7s"
    database.dispose()


def test_a_pooler_without_transactions_is_refused(
    start_pooler: StartPooler, database_urls: DatabaseUrls, make_config: Callable[..., Configuration]
) -> None:
    """Statement mode can't hold books: the message names the mode that can."""
    database = Database(start_pooler(IGNORED_OPTIONS, "pool_mode = statement").url(database_urls.worker), make_config())
    with pytest.raises(Misconfigured, match="pool_mode = transaction"), database.transaction() as connection:
        connection.execute(text("SELECT 1"))
    database.dispose()


def test_a_transaction_that_is_not_durable_is_not_begun(start_pooler: StartPooler, database_urls: DatabaseUrls) -> None:
    """What PostgreSQL itself says of synchronous_commit in the very transaction decides, not what was asked for: here it says `local` to `LOCAL`."""
    way = Way(start_pooler().url(database_urls.worker), "DATABASE_URL", {"synchronous_commit": "LOCAL"})
    engine = open_engine(way)
    with pytest.raises(Misconfigured, match="DATABASE_URL: synchronous_commit stays 'local' behind this pooler"), engine.begin():
        pass
    engine.dispose()


def test_a_poolers_end_is_an_outage(start_pooler: StartPooler, database_urls: DatabaseUrls, make_config: Callable[..., Configuration]) -> None:
    """Killed between and within transactions it is StorageUnavailable, and its successor is used."""
    pooler = start_pooler()
    database = Database(pooler.url(database_urls.worker), make_config())

    def kill_within() -> None:
        with database.transaction() as connection:
            connection.execute(text("SELECT 1"))
            pooler.kill()
            connection.execute(text("SELECT 1"))

    with pytest.raises(StorageUnavailable):
        kill_within()
    with pytest.raises(StorageUnavailable), database.transaction():
        pass
    pooler.start()
    with database.transaction() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    database.dispose()


def test_tables_are_made_and_checked_through_a_pooler(start_pooler: StartPooler, empty_database_urls: DatabaseUrls) -> None:
    """`tollbook db upgrade` and `check` need no session either."""
    pooler = start_pooler()
    owner, worker = pooler.url(empty_database_urls.owner), pooler.url(empty_database_urls.worker)
    assert migrate.upgrade(owner, worker) == (None, revision.head())
    assert migrate.check(owner) == []
    with psycopg.connect(empty_database_urls.owner, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(SET_BACK)
    assert migrate.upgrade(owner, worker)[1] == revision.head()  # large indexes are built outside of any transaction
    assert migrate.check(owner) == []


def test_a_poolers_user_name_is_let_in_as_the_role_that_it_is(
    start_pooler: StartPooler, empty_database_urls: DatabaseUrls, make_config: Callable[..., Configuration]
) -> None:
    """Behind a pooler whose user names are no roles, such as `role.project`, `db upgrade` asks the database who comes."""
    behind = make_url(empty_database_urls.worker)
    known_as = f"{behind.database} = host={behind.host} port={behind.port} user={behind.username} password={behind.password}"
    pooler = start_pooler(IGNORED_OPTIONS, "auth_type = any", "[databases]", known_as)
    worker = pooler.url(empty_database_urls.worker).replace("tollbook_app:", "role.project:")
    migrate.upgrade(empty_database_urls.owner, worker)
    database = Database(worker, make_config())
    with database.transaction() as connection:
        revision.require_current(connection)
        assert connection.execute(text("SELECT session_user")).scalar_one() == "tollbook_app"
    database.dispose()


def test_a_login_that_the_url_leaves_to_the_system_is_let_in(empty_database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a socket with peer authentication: the URL names no user."""
    worker = make_url(empty_database_urls.worker)
    monkeypatch.setenv("PGUSER", str(worker.username))
    monkeypatch.setenv("PGPASSWORD", str(worker.password))
    migrate.upgrade(empty_database_urls.owner, f"postgresql://{worker.host}:{worker.port}/{worker.database}")
    engine = open_engine(Way(empty_database_urls.worker, "DATABASE_URL", {}))
    with engine.begin() as connection:
        revision.require_current(connection)
    engine.dispose()
