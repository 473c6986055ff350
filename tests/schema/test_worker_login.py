"""The worker's login, in the hands of somebody who means harm: what it can't do, and what can't be done with it for good."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from core.config import Configuration
from core.database.database import Database
from core.errors import BadData, Misconfigured
from core.housekeeping.housekeep import housekeep
from core.schema.rights import WRITES
from lab.postgres import DATABASE, WORKER, PostgresServer
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.schema.logins import execute

Try = Callable[[str], None]
UNCHANGED = ["transactions", "event_keys", "operation_keys", "amendments", "refunds", "billing_settings_history", "batches"]
_TIMES = """
    SELECT c.relname AS table, a.attname AS column FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname = ANY(:tables)
       AND a.atttypid IN ('timestamptz'::regtype, 'date'::regtype)
"""
_INFINITE = """
    INSERT INTO transactions (id, mandate_id, account_id, transaction_type, amount, reference_type, description, occurred_at, recorded_at,
                              local_date, settings_version)
    VALUES (nextval('transactions_id_seq'), 'acme', 1, 'DEBIT', 1, 'WORKFLOW', 'x', now(), '-infinity', '2026-01-01', 1)
"""


@pytest.fixture
def attempt(database: Database) -> Try:
    """Runs SQL as the worker's login."""

    def run(sql: str) -> None:
        with database.transaction() as connection:
            connection.execute(text(sql))

    return run


@pytest.mark.parametrize("verb", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("table", UNCHANGED)
def test_what_is_written_stays_written(table: str, verb: str, attempt: Try, rows: Rows) -> None:
    """I18. The worker's login has no right to change or remove an entry, a key or a version of settings."""
    (column,) = rows("SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attnum = 1", table=table)
    with pytest.raises(Misconfigured, match="42501"):
        attempt(verb.format(table, column["attname"], column["attname"]))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE public.mine (a int)",
        "ALTER TABLE transactions ADD COLUMN mine int",
        "ALTER TABLE transactions DISABLE TRIGGER ALL",
        "DROP TABLE transactions_default",
        "UPDATE transactions_default SET amount = 0",
        "SELECT setval('transactions_id_seq', 1)",
        "UPDATE accounts SET alert_count = 0",
        "UPDATE accounts SET mandate_id = 'mine'",
        "UPDATE installation SET worker_role = 'mine'",
        "UPDATE alembic_version SET version_num = 'mine'",
        "CREATE ROLE mine",
        "SET ROLE tollbook",
        "COPY transactions TO '/tmp/mine'",
        "COPY transactions TO PROGRAM 'true'",
    ],
)
def test_the_workers_login_can_change_no_structure(sql: str, attempt: Try) -> None:
    """Neither tables nor roles nor sequences, and it reaches no file and no program of the server."""
    with pytest.raises(Misconfigured, match="42501"):
        attempt(sql)


def test_partitions_are_made_for_two_years_at_most(database: Database) -> None:
    """Whatever is asked for: each takes a lock, and two hundred thousand took all that the server has."""
    with database.transaction() as connection:
        made = connection.execute(text("SELECT ensure_partitions(200000)")).scalars().all()
    assert 20 <= len(made) <= 25
    with database.transaction() as connection:
        assert connection.execute(text("SELECT ensure_partitions(2147483647)")).scalars().all() == []


def test_every_time_that_a_worker_writes_is_one_that_can_be_read(rows: Rows) -> None:
    """Each column for a time or a day, of each table that the worker's role writes, has its check, in each partition too."""
    checks = {(row["table"], row["name"]) for row in rows("SELECT conrelid::regclass::text AS table, conname AS name FROM pg_constraint")}
    found = rows(_TIMES, tables=[table for table in WRITES if table != "reconcile_checkpoint"])  # which begins at -infinity
    missing = [row for row in found if (row["table"], f"ck_{row['table']}_{row['column']}_time") not in checks]
    assert len(found) > 20
    assert missing == []
    partitions = [row["name"] for row in rows("SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'transactions'::regclass")]
    assert all((name, "ck_transactions_recorded_at_time") in checks for name in partitions)


@pytest.mark.parametrize("moment", ["-infinity", "infinity", "0001-01-01 00:00:00 BC", "10000-01-01"])
def test_an_entry_at_no_time_is_refused(moment: str, attempt: Try) -> None:
    """Nobody could read it, and its month could never be moved into a partition."""
    with pytest.raises(BadData, match="23514"):
        attempt(_INFINITE.replace("-infinity", moment))


def test_an_entry_at_no_time_from_before_stops_no_housekeeping(
    database: Database, config: Configuration, attempt: Try, rows: Rows, record: Record
) -> None:
    """It stays in the default partition, and what else is there is moved."""
    rows("ALTER TABLE transactions DROP CONSTRAINT ck_transactions_recorded_at_time")
    attempt(_INFINITE)
    attempt(_INFINITE.replace("-infinity", "2019-05-05"))
    counts = housekeep(database, config=config, worker="test")
    assert counts is not None
    assert counts["rows_moved_from_default"] == 1
    assert rows("SELECT count(*) AS n FROM transactions_default") == [{"n": 1}]
    record(event())


def test_the_workers_login_makes_no_large_objects(postgres: PostgresServer) -> None:
    """Where a superuser has prepared the database, as deploy/postgres-init.sh and the embedded server do."""
    for call in ("lo_creat(-1)", "lo_create(0)", "lo_from_bytea(0, 'x')"):
        with pytest.raises(Exception, match="permission denied for function"):
            execute(postgres.url(WORKER, DATABASE), f"SELECT {call}")
