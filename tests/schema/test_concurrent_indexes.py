"""An upgrade of books that are in use: large indexes are built beside the recorders, and what was cut short is finished the next time."""

from time import sleep

import psycopg
import pytest

from core.schema import migrate, revision
from core.schema.concurrent_indexes import INDEXES
from lab.bench.upgrade import SET_BACK, Recorder, longest_wait
from lab.postgres import SUPERUSER, PostgresServer
from tests.conftest import DatabaseUrls, IsolatedConfiguration
from tests.schema.logins import execute, records

BEFORE = "0024_erasures"
OF_ENTRIES = [one for one in INDEXES if one.table == "transactions"]


@pytest.fixture
def books_of_before(empty_database_urls: DatabaseUrls) -> DatabaseUrls:
    """Books with an event, as the release before had them."""
    urls = empty_database_urls
    migrate.upgrade(urls.owner, urls.worker)
    with psycopg.connect(urls.owner, autocommit=True, cursor_factory=psycopg.ClientCursor) as owner:
        owner.execute(SET_BACK)
    assert records(urls.worker)
    return urls


def indexes(urls: DatabaseUrls) -> dict[str, int]:
    """The valid indexes of entries and keys, with what each is made of on disk."""
    rows = execute(
        urls.owner,
        "SELECT c.relname, c.relfilenode FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisvalid AND c.relkind = 'i'"
        " AND (i.indrelid = 'event_keys'::regclass OR i.indrelid IN (SELECT relid FROM pg_partition_tree('transactions')))",
    )
    return dict(rows)


def told(urls: DatabaseUrls) -> list[str]:
    """What an upgrade says of indexes that it builds."""
    said: list[str] = []
    migrate.upgrade(urls.owner, urls.worker, tell=said.append)
    assert migrate.check(urls.owner, urls.worker) == []
    assert records(urls.worker)
    return said


def test_what_was_built_beside_the_recorders_is_taken_over(books_of_before: DatabaseUrls) -> None:
    """The migration reads no table anew: the whole table's indexes are those of its partitions, the key's index is the one that was built."""
    urls, built = books_of_before, dict[str, int]()

    def tell(_: str) -> None:
        built.update(indexes(urls))

    migrate.upgrade(urls.owner, urls.worker, tell=tell)
    built |= {name: node for name, node in indexes(urls).items() if name == "pk_event_keys"}
    after = indexes(urls)
    parts = [name for (name,) in execute(urls.owner, "SELECT relid::regclass::text FROM pg_partition_tree('transactions') WHERE isleaf")]
    assert parts
    for index in OF_ENTRIES:
        for part in parts:
            assert after[index.of(part)] == built[index.of(part)]
    assert migrate.check(urls.owner, urls.worker) == []
    assert records(urls.worker)


def test_nobody_waits_long_while_recorders_are_at_it(books_of_before: DatabaseUrls) -> None:
    """Two recorders go on; each of their events is there once, and the books agree with the models."""
    urls = books_of_before
    config = IsolatedConfiguration(unknown_mandates="create", database_url=urls.worker)
    recorders = [Recorder(config) for _ in range(2)]
    for recorder in recorders:
        recorder.start()
    with longest_wait(urls.owner):
        told(urls)
    for recorder in recorders:
        recorder.stopping.set()
        recorder.join(60)
    sent = sum(recorder.recorded for recorder in recorders)
    assert sent
    (found,) = execute(urls.owner, "SELECT count(event_id), count(DISTINCT (mandate_id, event_id)) FROM transactions WHERE event_id IS NOT NULL")
    assert found[0] == found[1] >= sent


def test_an_upgrade_that_is_cut_short_goes_on_where_it_was(books_of_before: DatabaseUrls) -> None:
    """What is built stays built; until the end the revision is the old one, and recorders record."""
    urls, said = books_of_before, list[str]()

    def cut(words: str) -> None:
        said.append(words)
        if len(said) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate.upgrade(urls.owner, urls.worker, tell=cut)
    assert execute(urls.owner, "SELECT version_num FROM alembic_version") == [(BEFORE,)]
    assert records(urls.worker)
    assert not {*said[:2]} & {*told(urls)}


def test_a_server_that_ends_idle_transactions_does_not_end_an_upgrade(books_of_before: DatabaseUrls, postgres: PostgresServer) -> None:
    """The transaction that keeps others from upgrading has nothing to do while indexes are built, however long that takes."""
    urls = books_of_before
    database = urls.owner.rsplit("/", 1)[1]
    execute(postgres.url(SUPERUSER, "postgres"), f"ALTER DATABASE {database} SET idle_in_transaction_session_timeout = '50ms'")
    migrate.upgrade(urls.owner, urls.worker, tell=lambda _: sleep(0.1))
    assert migrate.check(urls.owner, urls.worker) == []


def test_an_index_that_is_half_there_is_built_anew(books_of_before: DatabaseUrls, postgres: PostgresServer) -> None:
    """`CREATE INDEX CONCURRENTLY` leaves an invalid index where it is killed."""
    urls = books_of_before
    name = OF_ENTRIES[0].of("transactions_default")
    execute(urls.owner, f"CREATE INDEX {name} ON transactions_default (account_id, recorded_at)")
    database = urls.owner.rsplit("/", 1)[1]
    execute(postgres.url(SUPERUSER, database), f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass")
    assert [words for words in told(urls) if "transactions_default" in words and "account_id" in words]
    assert name in indexes(urls)


def test_books_may_go_back_to_the_release_before_and_forth_again(books_of_before: DatabaseUrls) -> None:
    """Its programs need nothing but its revision; the next upgrade finds everything there."""
    urls = books_of_before
    told(urls)
    execute(urls.owner, f"UPDATE alembic_version SET version_num = '{BEFORE}'")
    assert records(urls.worker)
    assert migrate.upgrade(urls.owner, urls.worker) == (BEFORE, revision.head())
    assert migrate.check(urls.owner, urls.worker) == []
