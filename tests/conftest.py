"""What every test may use: a private PostgreSQL server, a migrated database of the test's own, a configuration.

The server is one for the whole test run, shared by all of its processes; it starts at its first use and ends with the run.
"""

import fcntl
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import hypothesis
import psycopg
import pytest
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from sqlalchemy import text

from core.config import Configuration
from core.database.database import Database
from core.errors import Misconfigured
from core.events.outcome import BatchResult
from core.ledger.opening import KnownAccounts
from core.recording.record_usage import record_usage
from core.schema import migrate
from lab import pgbouncer
from lab.clock import JumpingClock
from lab.pgbouncer import IGNORED_OPTIONS, PgBouncer
from lab.postgres import OWNER, SUPERUSER, WORKER, PostgresServer
from lab.process import reachable_dir, temporary_dir
from tests.sample_events import EventLike, raw

# The same examples in every run; `--hypothesis-profile=explore` looks further, from a seed that it prints.
hypothesis.settings.register_profile("tollbook", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=5000, print_blob=True)
hypothesis.settings.load_profile("tollbook")

pytest_plugins = ["tests.scene"]  # what the tests of all folders set up
TEMPLATE = "tollbook_template"
ROLES = "tollbook"  # what the names of the template's roles begin with
_FOLDER = pytest.StashKey[Path]()
_database_numbers = itertools.count(1)
Row = dict[str, Any]


class IsolatedConfiguration(Configuration):
    """A configuration that only its arguments decide: neither the environment nor a `.env` file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments."""
        return (init_settings,)


@dataclass(frozen=True)
class DatabaseUrls:
    """The URLs of one test's own database, by login."""

    owner: str
    worker: str


class Record(Protocol):
    """What the fixture `record` gives."""

    def __call__(
        self,
        *events: EventLike,
        database: Database = ...,
        config: Configuration = ...,
        known_accounts: KnownAccounts = ...,
        worker: str = "test",
        clock: Callable[[], datetime] | None = None,
        origin: str = "test",
        typed_json: bool = False,
    ) -> BatchResult:
        """Records one batch of events (fields, bytes or raw events) and returns what became of each."""


class Rows(Protocol):
    """What the fixture `rows` gives."""

    def __call__(self, sql: str, **parameters: object) -> list[Row]:
        """Runs `sql` (with `:name` parameters) as the owner, in a transaction of its own: its rows, each as a dictionary."""


def pytest_configure(config: pytest.Config) -> None:
    """The folder of the run's server: made by the main process, told to the others."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a run in the background; the commands that tests interrupt must not inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    told = getattr(config, "workerinput", {}).get("server_folder")
    config.stash[_FOLDER] = Path(told) if told else _server_folder()


def _server_folder() -> Path:
    """In memory where there is room: copying a database then takes a tenth of the time."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 2 * 1024**3:
        return reachable_dir("tollbook-tests-")
    folder = Path(tempfile.mkdtemp(prefix="tollbook-tests-", dir=memory))
    folder.chmod(0o711)  # root's server runs as somebody else, who must get through to its own folder
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a process of pytest-xdist where the run's server is."""
    node.workerinput["server_folder"] = str(node.config.stash[_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """The main process is the last to end: it stops the server and removes its folder."""
    if hasattr(config, "workerinput") or _FOLDER not in config.stash:
        return
    PostgresServer(config.stash[_FOLDER] / "postgres", fast=True).stop()
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Inside, no other process of this test run is."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """The test run's PostgreSQL server, with the migrated database `tollbook_template`; never stop it in a test."""
    folder = request.config.stash[_FOLDER]
    server = PostgresServer(folder / "postgres", fast=True, extra=("-c", "scram_iterations=1"))  # tests connect ten thousand times
    with _alone(folder):
        server.start()
        with _administrator(server) as connection:
            made = connection.execute("SELECT FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone() is None
            if made:
                connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
        if made:
            migrate.upgrade(server.url(OWNER, TEMPLATE), server.url(WORKER, TEMPLATE), roles_prefix=ROLES)
    return server


@contextmanager
def _administrator(server: PostgresServer) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with psycopg.connect(server.url(SUPERUSER, "postgres"), autocommit=True) as connection:
        yield connection


@contextmanager
def own_database(server: PostgresServer, template: str) -> Iterator[DatabaseUrls]:
    """A fresh copy of the database `template`, owned by `tollbook`, dropped at the end."""
    name = f"test_{os.getpid()}_{next(_database_numbers)}"
    with _administrator(server) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template} STRATEGY FILE_COPY")
        if template == TEMPLATE:  # rights on the database itself are not copied
            connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
            connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {ROLES}_reader, {ROLES}_worker")
            connection.execute(f"GRANT TEMPORARY ON DATABASE {name} TO {ROLES}_worker")
    try:
        yield DatabaseUrls(server.url(OWNER, name), server.url(WORKER, name))
    finally:
        with _administrator(server) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_urls(postgres: PostgresServer) -> Iterator[DatabaseUrls]:
    """The URLs of a migrated, empty database of the test's own, dropped after it."""
    with own_database(postgres, TEMPLATE) as urls:
        yield urls


@pytest.fixture
def empty_database_urls(postgres: PostgresServer) -> Iterator[DatabaseUrls]:
    """The URLs of a database of the test's own that holds nothing yet, not even tables."""
    with own_database(postgres, "template1") as urls:
        yield urls


class StartPooler(Protocol):
    """What the fixture `start_pooler` gives."""

    def __call__(self, *settings: str) -> PgBouncer:
        """Starts a PgBouncer before the test run's server, with further settings or those of most installations."""


@pytest.fixture
def start_pooler(postgres: PostgresServer) -> Iterator[StartPooler]:
    """Starts PgBouncers in transaction mode, which are ended after the test."""
    if not pgbouncer.is_installed():
        if os.environ.get("TOLLBOOK_TEST_PGBOUNCER") == "required":
            pytest.fail(pgbouncer.INSTALL)
        pytest.skip(pgbouncer.INSTALL)
    users = {user: urlsplit(postgres.url(user)).password or "" for user in (OWNER, WORKER)}
    started: list[PgBouncer] = []
    with temporary_dir() as folder:

        def start(*settings: str) -> PgBouncer:
            started.append(PgBouncer(folder / str(len(started)), postgres.url(), users, settings=settings or (IGNORED_OPTIONS,)))
            started[-1].start()
            return started[-1]

        yield start
        for one in started:
            one.kill()


@pytest.fixture
def make_config(database_urls: DatabaseUrls) -> Callable[..., Configuration]:
    """Makes a configuration for the test's database; `make_config(lateness_days=30)` varies it by field name."""

    def make(**fields: Any) -> Configuration:
        return IsolatedConfiguration(**{"database_url": database_urls.worker, "database_owner_url": database_urls.owner, **fields})

    return make


@pytest.fixture
def config(make_config: Callable[..., Configuration]) -> Configuration:
    """The default configuration for the test's database, whatever the environment says."""
    return make_config()


@pytest.fixture
def connect(database_urls: DatabaseUrls, config: Configuration) -> Iterator[Callable[[], Database]]:
    """Makes further `Database` objects under the worker's login, each with connections of its own, closed after the test."""
    made: list[Database] = []

    def make() -> Database:
        made.append(Database(database_urls.worker, config))
        return made[-1]

    yield make
    for one in made:
        one.dispose()


@pytest.fixture
def database(connect: Callable[[], Database]) -> Database:
    """The test's database under the worker's login."""
    return connect()


@pytest.fixture
def owner_database(database_urls: DatabaseUrls, config: Configuration) -> Iterator[Database]:
    """The test's database under the owner's login."""
    owned = Database(database_urls.owner, config)
    yield owned
    owned.dispose()


@pytest.fixture
def known_accounts() -> KnownAccounts:
    """The accounts that the test's process has met; empty at first."""
    return KnownAccounts()


@pytest.fixture
def record(database: Database, config: Configuration, known_accounts: KnownAccounts) -> Record:
    """Records a batch of usage events in the test's database; the arguments have the other fixtures as defaults."""

    def call(
        *events: EventLike,
        database: Database = database,
        config: Configuration = config,
        known_accounts: KnownAccounts = known_accounts,
        worker: str = "test",
        clock: Callable[[], datetime] | None = None,
        origin: str = "test",
        typed_json: bool = False,
    ) -> BatchResult:
        raw_events = [raw(given, origin=origin, typed_json=typed_json) for given in events]
        return record_usage(database, raw_events, config=config, known_accounts=known_accounts, worker=worker, clock=clock)

    return call


@pytest.fixture
def rows(owner_database: Database) -> Rows:
    """Reads (and, where a test sets the scene, writes) rows of the test's database as its owner."""

    def read(sql: str, **parameters: object) -> list[Row]:
        with owner_database.transaction() as connection:
            result = connection.execute(text(sql), parameters)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    return read


@pytest.fixture
def jumping_clock() -> Iterator[JumpingClock]:
    """A clock for processes of the test's own; skips it where there is no libfaketime, or fails it where that must be there."""
    try:
        with JumpingClock() as clock:
            yield clock
    except Misconfigured as error:
        if os.environ.get("TOLLBOOK_TEST_FAKETIME") == "required" and "FAKETIME" not in os.environ:
            raise
        pytest.skip(str(error))
