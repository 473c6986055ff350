"""A full car park: whatever is parked, released or recorded beside it costs as much as it is itself, not as much as all that is parked."""

from collections.abc import Callable
from functools import partial

import pytest
from alembic import command
from sqlalchemy import text

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.database.sessions import Way, open_engine
from core.errors import BadData
from core.events.outcome import BatchResult
from core.ledger.opening import KnownAccounts
from core.recording.read_parked import parked_per_mandate
from core.recording.release_parked import release_all_parked
from core.schema import migrate, revision
from tests.books.threads import at_once
from tests.conftest import DatabaseUrls, Record, Rows
from tests.recording.test_lock_order import parked_counts_are_right
from tests.sample_events import event
from tests.scene import PutMandate

KNOWN, STRANGERS, CROWD = 1_000, 100_000, 50_000  # mandates with settings, mandates with one parked event each, parked events of one mandate
READS_PER_ELEMENT = 12

# The names of known mandates lie between those of strangers.
_FILL = (
    "INSERT INTO directory_mandates (id, name) SELECT lpad(n * 100 || '', 7, '0') || 'k', 'known' FROM generate_series(1, :known) n",
    """
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                  notify_on_warning, time_zone)
    SELECT id, 'PREPAY_USER', 10, 10, true, true, 'UTC' FROM directory_mandates WHERE id < '0050000k'
    """,
    """
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                          block_on_zero_balance, notify_on_warning, time_zone, changed_at, changed_by)
    SELECT mandate_id, 1, billing_model, 10, 10, true, true, 'UTC', '2020-01-01', 'test' FROM billing_settings
    """,
    """
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, stripe)
    SELECT lpad(n || '', 7, '0'), 'parked', '', 1, '{}', false, 'test', 'unknown_mandate', n % 16 FROM generate_series(1, :strangers) n
    """,
    """
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, stripe)
    SELECT 'crowd', 'parked-' || n, '', 1, '{}', false, 'test', 'unknown_mandate', n % 16 FROM generate_series(1, :crowd) n
    """,
)
_READ = """
    SELECT CAST((SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes) AS bigint) AS rows
"""


@pytest.fixture(params=["analysed", "never analysed"])
def full(request: pytest.FixtureRequest, owner_database: Database, rows: Rows) -> None:
    """A car park with 150,000 events, known mandates beside it, and connections that plan whatever the parameters may be."""
    with owner_database.transaction() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for table in ("parked_events", "parked_counts"):
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
        names = {"known": KNOWN, "strangers": STRANGERS, "crowd": CROWD}
        for statement in _FILL:
            connection.execute(text(statement), {name: value for name, value in names.items() if f":{name}" in statement})
        if request.param == "analysed":
            connection.execute(text("ANALYZE"))
    (current,) = rows("SELECT current_database() AS name")
    rows(f"ALTER DATABASE {current['name']} SET plan_cache_mode = force_generic_plan")


@pytest.fixture
def read_by(connect: Callable[[], Database], rows: Rows) -> Callable[[Callable[[Database], object]], int]:
    """Tells how many rows of tables and indexes are read by a piece of work on connections of its own."""

    def read(work: Callable[[Database], object]) -> int:
        database = connect()
        before = _total(rows)
        work(database)
        database.dispose()
        rows("SELECT pg_stat_clear_snapshot()")
        while rows("SELECT FROM pg_stat_activity WHERE usename = 'tollbook_app' AND datname = current_database()"):
            pass  # a session tells what it has read at its end
        return _total(rows) - before

    return read


def _total(rows: Rows) -> int:
    rows("SELECT pg_stat_force_next_flush()")
    return int(rows(_READ)[0]["rows"])


@pytest.mark.usefixtures("full")
def test_nothing_costs_as_much_as_the_car_park(
    read_by: Callable[[Callable[[Database], object]], int],
    record: Record,
    config: Configuration,
    rows: Rows,
    put_mandate: PutMandate,
    make_config: Callable[..., Configuration],
) -> None:
    """Releasing nothing reads a few rows per known mandate; releasing, parking, recording and refusing read a few per event."""

    def release(database: Database) -> BatchResult:
        return release_all_parked(database, config=config, worker="test")

    few = READS_PER_ELEMENT * KNOWN
    assert read_by(release) <= few
    strangers = [event(mandate_id=f"{n * 3:07}x") for n in range(500)]
    crowd = [event(mandate_id="crowd") for _ in range(500)]
    mine = [event(mandate_id="0000050x", user_id=f"user{n % 5}") for n in range(500)]
    for batch in (strangers, crowd, mine):
        assert read_by(lambda database, batch=batch: record(*batch, database=database)) <= few  # type: ignore[misc]
    full_already = make_config(parked_limit_total=STRANGERS)
    assert read_by(lambda database: record(*[event(mandate_id="crowd")] * 500, database=database, config=full_already)) <= few
    known = [event(mandate_id=f"{n % 400 * 100 + 100:07}k") for n in range(1000)]
    assert read_by(lambda database: record(*known, database=database)) <= 3 * few
    put_mandate("0000050x", users=["user1"])
    assert read_by(release) <= 3 * few
    assert rows("SELECT count(*) AS n FROM transactions WHERE reference_type = 'WORKFLOW' AND mandate_id = '0000050x'") == [{"n": 500}]
    assert read_by(lambda database: parked_per_mandate(database, ROOT)) <= STRANGERS + CROWD
    assert parked_counts_are_right(rows)


def test_counts_follow_whatever_parks_and_removes(rows: Rows, record: Record, release: Callable[[], BatchResult], put_mandate: PutMandate) -> None:
    """Parked, taken back, removed by hand, released, all removed at once: the counts are right, and nothing is left of who has none."""
    record(*[event(mandate_id=f"m{n % 3}") for n in range(10)])
    assert parked_counts_are_right(rows)
    with pytest.raises(BadData):
        rows("WITH gone AS (DELETE FROM parked_events RETURNING 1) SELECT 1 / (count(*) - count(*)) FROM gone")
    rows("DELETE FROM parked_events WHERE mandate_id = 'm0'")
    assert parked_counts_are_right(rows)
    put_mandate("m1")
    assert len(release().outcomes) == 3
    assert parked_counts_are_right(rows)
    assert {row["mandate_id"] for row in rows("SELECT mandate_id FROM parked_counts")} == {"", "m2"}
    rows("TRUNCATE parked_events")
    assert rows("SELECT FROM parked_counts") == []


def test_mandates_with_parked_events_are_listed_by_their_counts(database: Database, record: Record, rows: Rows) -> None:
    """The mandate with the most first, with the time of its oldest event."""
    record(event(event_id="first", mandate_id="some"), *[event(mandate_id=mandate) for mandate in ("few", "most", "most", "some", "most")])
    rows("UPDATE parked_events SET received_at = '2020-01-01T00:00:00Z' WHERE event_id = 'first'")
    found = parked_per_mandate(database, ROOT)
    assert [(one.mandate_id, one.events) for one in found] == [("most", 3), ("some", 2), ("few", 1)]
    assert [one.oldest_received_at.year == 2020 for one in found] == [False, True, False]
    assert parked_per_mandate(database, ROOT, limit=1, offset=1) == found[1:2]


def test_many_who_park_at_once_are_all_counted(record: Record, connect: Callable[[], Database], rows: Rows) -> None:
    """Eight workers park events of the same mandate in the same moment."""
    databases = [connect() for _ in range(8)]
    for _ in range(4):
        batches = [[event(mandate_id="crowd") for _ in range(50)] for _ in databases]
        at_once(*[partial(record, *batch, database=one, known_accounts=KnownAccounts()) for one, batch in zip(databases, batches, strict=True)])
    assert parked_counts_are_right(rows)
    assert rows("SELECT CAST(sum(events) AS int) AS n FROM parked_counts WHERE mandate_id = 'crowd'") == [{"n": 1600}]


def test_what_was_parked_before_is_counted_by_the_upgrade(empty_database_urls: DatabaseUrls) -> None:
    """An older program's parked events have their counts, and can be released."""
    urls = empty_database_urls
    engine = open_engine(Way(urls.owner, "DATABASE_OWNER_URL", {}))
    with engine.begin() as connection:
        command.upgrade(migrate._alembic(connection), "0013_reconcile")
        connection.execute(
            text("""
            INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason)
            SELECT 'm' || n % 3, 'e' || n, '', 1, '{}', false, 'test', 'unknown_mandate' FROM generate_series(1, 10) n
        """)
        )
    assert migrate.upgrade(urls.owner, urls.worker) == ("0013_reconcile", revision.head())
    with engine.begin() as connection:
        counts = connection.execute(text("SELECT mandate_id, events FROM parked_counts ORDER BY mandate_id")).all()
        connection.execute(text("DELETE FROM parked_events WHERE mandate_id = 'm1'"))
        assert connection.execute(text("SELECT sum(events) FROM parked_counts WHERE mandate_id = ''")).scalar_one() == 6
    assert counts == [("", 10), ("m0", 3), ("m1", 4), ("m2", 3)]
    engine.dispose()
