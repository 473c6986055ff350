"""Migrations: the tables are what the models say, and upgrading is safe to repeat."""

from functools import partial
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from core.config import Configuration
from core.database.database import Database
from core.database.locks import Lock, hold
from core.database.sessions import Way, open_engine
from core.errors import Misconfigured, StorageUnavailable
from core.events.outcome import Outcome
from core.ledger.opening import KnownAccounts
from core.recording.record_usage import record_usage
from core.schema import migrate, revision
from tests.books.threads import at_once
from tests.conftest import DatabaseUrls, IsolatedConfiguration, Rows
from tests.sample_events import event, raw


def test_models_and_migrations_say_the_same(database_urls: DatabaseUrls) -> None:
    """A migrated database has exactly the tables, columns, indexes and constraints of the models."""
    assert migrate.check(database_urls.owner) == []


def test_the_revisions_are_those_of_alembic() -> None:
    """What a start compares with, read off the files' names and heads, is what migrates: the same revisions in the same order."""
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    chain = [script.revision for script in scripts.walk_revisions()][::-1]
    assert chain[-1] == revision.head() == scripts.get_current_head()
    for known in chain:
        revision.require_known(known)
    with pytest.raises(Misconfigured, match="which this program doesn't know"):
        revision.require_known("9999_of_tomorrow")


@pytest.mark.parametrize("change", ["ALTER TABLE batches ADD COLUMN more int", "DROP INDEX ix_dead_letters_open", "DROP TABLE job_runs"])
def test_a_difference_is_noticed(change: str, database_urls: DatabaseUrls, rows: Rows) -> None:
    """A column, an index or a table too many or too few is told."""
    rows(change)
    assert migrate.check(database_urls.owner)


def test_upgrading_again_changes_nothing(database_urls: DatabaseUrls, rows: Rows) -> None:
    """The second upgrade finds the newest revision and leaves everything as it is."""
    rows("INSERT INTO directory_users (id) VALUES ('ada')")
    assert migrate.upgrade(database_urls.owner, database_urls.worker) == (revision.head(), revision.head())
    assert len(rows("SELECT * FROM directory_users")) == 1


def test_an_empty_database_is_told_and_upgraded(empty_database_urls: DatabaseUrls) -> None:
    """The check names the command that helps; after it the worker's login can record usage."""
    urls = empty_database_urls
    assert "tollbook db upgrade" in migrate.check(urls.owner)[0]
    assert migrate.upgrade(urls.owner, urls.worker) == (None, revision.head())
    assert migrate.check(urls.owner) == []
    config = IsolatedConfiguration(unknown_mandates="create")
    database = Database(urls.worker, config)
    try:
        result = record_usage(database, [raw(event())], config=config, known_accounts=KnownAccounts(), worker="test")
    finally:
        database.dispose()
    assert result.outcomes == [Outcome.RECORDED]


def test_two_upgrades_at_once_are_one(empty_database_urls: DatabaseUrls) -> None:
    """The second waits for the first and finds its work done."""
    upgrade = partial(migrate.upgrade, empty_database_urls.owner, empty_database_urls.worker)
    befores = [before for before, _ in at_once(upgrade, upgrade, upgrade)]
    assert sorted(befores, key=str) == [revision.head(), revision.head(), None]
    assert migrate.check(empty_database_urls.owner) == []


def test_an_upgrade_that_cannot_get_its_turn_gives_up(empty_database_urls: DatabaseUrls) -> None:
    """It fails by name after two seconds, and the next try succeeds."""
    engine = open_engine(Way(empty_database_urls.owner, "DATABASE_OWNER_URL", {}))
    try:
        with engine.begin() as connection:
            hold(connection, Lock.MIGRATION)
            with pytest.raises(StorageUnavailable, match="55P03"):
                migrate.upgrade(empty_database_urls.owner)
    finally:
        engine.dispose()
    assert migrate.upgrade(empty_database_urls.owner) == (None, revision.head())


def test_the_workers_login_cannot_migrate(empty_database_urls: DatabaseUrls) -> None:
    """It owns nothing: a named error, and the database stays empty."""
    with pytest.raises(Misconfigured, match="may not make the roles"):
        migrate.upgrade(empty_database_urls.worker)
    assert "none" in migrate.check(empty_database_urls.owner)[0]


def test_recording_into_an_empty_database_is_an_operators_matter(empty_database_urls: DatabaseUrls) -> None:
    """Without tables the error is Misconfigured and names the upgrade."""
    config: Configuration = IsolatedConfiguration()
    database = Database(empty_database_urls.worker, config)
    try:
        with pytest.raises(Misconfigured, match="tollbook db upgrade"):
            record_usage(database, [raw(event())], config=config, known_accounts=KnownAccounts(), worker="test")
        with pytest.raises(Misconfigured, match="tollbook db upgrade"), database.transaction() as connection:
            revision.require_current(connection)
    finally:
        database.dispose()


def test_a_current_database_is_accepted(database: Database) -> None:
    """The worker's login can see for itself that the revision is right."""
    with database.transaction() as connection:
        revision.require_current(connection)
