"""What the database itself guarantees: rights of the worker's login, checks of the columns, partitions."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from core.config import Configuration
from core.database.database import Database, transaction_time
from core.errors import BadData, Misconfigured
from core.events.outcome import Outcome
from core.schema import migrate
from tests.conftest import DatabaseUrls, Record, Rows
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings

FORBIDDEN = [
    *[
        f"{verb} {table}"
        for table in ("transactions", "event_keys", "operation_keys", "refunds", "amendments")
        for verb in ("DELETE FROM", "TRUNCATE")
    ],
    *["DELETE FROM transactions_default", "TRUNCATE transactions_default", "UPDATE transactions_default SET amount = 0"],
    *["UPDATE transactions SET amount = 0", "UPDATE transactions SET description = ''", "UPDATE transactions SET id = id"],
    *["UPDATE event_keys SET payload_hash = ''", "UPDATE event_keys SET event_id = event_id", "UPDATE operation_keys SET result = '{}'"],
    "UPDATE amendments SET number = 1",
    *[
        "UPDATE accounts SET mandate_id = 'x'",
        "UPDATE accounts SET user_id = 'x'",
        "UPDATE accounts SET account_type = 'USER'",
        "DELETE FROM accounts",
    ],
    *[
        "DELETE FROM billing_settings",
        "DELETE FROM billing_settings_history",
        "UPDATE billing_settings_history SET version = 5",
        "DELETE FROM batches",
    ],
    *[
        "UPDATE batches SET recorded = 0",
        "DELETE FROM balance_alerts",
        "UPDATE balance_alerts SET kind = 'ZERO'",
        "UPDATE parked_events SET body = ''",
        "UPDATE parked_counts SET events = 0",
    ],
    *[
        "DROP TABLE transactions",
        "ALTER TABLE transactions DISABLE TRIGGER ALL",
        "CREATE TABLE mine (id int)",
        "DROP FUNCTION ensure_partitions(int)",
    ],
    *["INSERT INTO transactions_default SELECT * FROM transactions", "SET ROLE tollbook", "ALTER ROLE tollbook_app SUPERUSER"],
    *["SELECT setval('transactions_id_seq', 1)", "UPDATE alembic_version SET version_num = 'x'"],
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_workers_login_may_not(statement: str, database: Database, record: Record, put_mandate: PutMandate) -> None:
    """What is written stays written: PostgreSQL itself refuses the worker (42501)."""
    put_mandate(users=["ada"])
    record(event())
    with pytest.raises(Misconfigured, match="42501"), database.transaction() as connection:
        connection.execute(text(statement))


def test_what_was_written_is_still_there_after_every_attempt(database: Database, record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """None of the attempts changes a single row."""
    put_mandate(users=["ada"])
    record(event(), b"bad")
    before = [rows(f"SELECT * FROM {table} ORDER BY 1") for table in ("transactions", "event_keys", "accounts")]
    for statement in FORBIDDEN:
        with pytest.raises(Misconfigured), database.transaction() as connection:
            connection.execute(text(statement))
    assert [rows(f"SELECT * FROM {table} ORDER BY 1") for table in ("transactions", "event_keys", "accounts")] == before


_ACCOUNT = "INSERT INTO accounts (mandate_id, user_id, account_type, opened_version, {0}) VALUES ('m', 'u', 'USER', 1, {1})"
_ENTRY = """
    INSERT INTO transactions (mandate_id, account_id, transaction_type, amount,
                              reference_type, description, occurred_at, local_date, settings_version)
    VALUES ('m', 1, '{0}', {1}, 'WORKFLOW', 'd', now(), now(), 1)
"""
_SETTINGS = """
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent,
                                  block_on_zero_balance, notify_on_warning, time_zone)
    VALUES ('m', 'UNLIMITED', {0}, {1}, true, true, 'UTC')
"""
_UNFIT = {
    "NaN balance": _ACCOUNT.format("balance", "'NaN'"),
    "NaN threshold": _ACCOUNT.format("warning_threshold", "'NaN'"),
    "NaN limit": _ACCOUNT.format("credit_limit", "'NaN'"),
    "negative limit": _ACCOUNT.format("credit_limit", "-1"),
    "infinite balance": _ACCOUNT.format("balance", "'Infinity'"),
    "balance that Python would round": _ACCOUNT.format("balance", "10000000000000000000"),
    "threshold that Python would round": _ACCOUNT.format("warning_threshold", "-10000000000000000000"),
    "amount beyond the range": _ENTRY.format("CREDIT", "10000000000.000000001"),
    "balance beyond the type": _ACCOUNT.format("balance", "1e30"),
    "NULL balance": _ACCOUNT.format("balance", "NULL"),
    "NaN amount": _ENTRY.format("ADJUSTMENT", "'NaN'"),
    "infinite amount": _ENTRY.format("DEBIT", "'Infinity'"),
    "NULL amount": _ENTRY.format("DEBIT", "NULL"),
    "negative debit": _ENTRY.format("DEBIT", "-1"),
    "negative credit": _ENTRY.format("CREDIT", "-0.000000001"),
    "unknown type": _ENTRY.format("GIFT", "1"),
    "NaN credit": _SETTINGS.format("'NaN'", "10"),
    "negative credit of settings": _SETTINGS.format("-1", "10"),
    "NaN percent": _SETTINGS.format("10", "'NaN'"),
    "percent above 100": _SETTINGS.format("10", "100.001"),
    "pool with a user": "INSERT INTO accounts (mandate_id, user_id, account_type, opened_version) VALUES ('m', 'u', 'MANDATE', 1)",
    "user account without a user": "INSERT INTO accounts (mandate_id, account_type, opened_version) VALUES ('m', 'USER', 1)",
    "two pools": "INSERT INTO accounts (mandate_id, account_type, opened_version) VALUES ('m', 'MANDATE', 1), ('m', 'MANDATE', 1)",
}


@pytest.mark.parametrize("name", _UNFIT)
def test_the_database_refuses_what_is_no_amount_and_no_account(name: str, owner_database: Database, rows: Rows) -> None:
    """NaN, infinities, NULL, wrong signs and second pools are refused even to the owner."""
    with pytest.raises(BadData):
        rows(_UNFIT[name])


@pytest.mark.parametrize(
    "statement", [_ENTRY.format("ADJUSTMENT", "-1"), _ENTRY.format("DEBIT", "0"), _ACCOUNT.format("balance", "-9999999999999999999.999999999")]
)
def test_the_database_accepts_what_is_allowed(statement: str, rows: Rows) -> None:
    """The checks refuse no valid entry."""
    rows(statement)


def test_ids_are_sorted_and_compared_bytewise(rows: Rows) -> None:
    """Every identifying column has the collation C."""
    names = ["mandate_id", "event_id", "user_id", "operation", "idempotency_key"]
    wrong = rows(
        """
        SELECT table_name, column_name FROM information_schema.columns
         WHERE table_schema = 'public' AND column_name = ANY(:names)
           AND collation_name IS DISTINCT FROM 'C' AND table_name NOT LIKE 'transactions\\_%'
        """,
        names=names,
    )
    assert wrong == []


def _partitions(connection: Connection) -> dict[str, str]:
    query = """
        SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'transactions'::regclass
    """
    return {row.relname: row.bound for row in connection.execute(text(query))}


def _months(first: datetime, count: int) -> set[str]:
    """The names of the partitions of so many months (UTC), from that of `first` on."""
    begin = first.astimezone(UTC)
    numbers = [begin.year * 12 + begin.month - 1 + ahead for ahead in range(count)]
    return {f"transactions_{number // 12}_{number % 12 + 1:02}" for number in numbers}


def test_there_are_partitions_for_this_month_and_three_more(empty_database_urls: DatabaseUrls, config: Configuration) -> None:
    """A migrated database is ready, with a default partition for everything else."""
    began = datetime.now(UTC)
    migrate.upgrade(empty_database_urls.owner, empty_database_urls.worker)
    made = Database(empty_database_urls.owner, config)
    with made.transaction() as connection:
        found = _partitions(connection)
        months = [_months(moment, 4) for moment in (began, transaction_time(connection))]  # two where a month has just ended
    made.dispose()
    assert found.pop("transactions_default") == "DEFAULT"
    assert set(found) in months


def test_the_worker_can_make_partitions_ahead_and_nothing_twice(database: Database) -> None:
    """It asks the owner's function: the missing months are made, once; their rights are the table's."""
    with database.transaction() as connection:
        before, wanted = _partitions(connection), _months(transaction_time(connection), 6)
        for expected in (wanted - set(before), set()):
            assert set(connection.execute(text("SELECT ensure_partitions(5)")).scalars()) == expected
        assert set(_partitions(connection)) == {*before, *wanted}
    assert wanted - set(before)


def test_recording_lands_in_its_months_partition(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """By the time of recording, in UTC, not by the time of the event."""
    put_settings(users=["ada"])
    record(event(occurred_at=(datetime.now(UTC) - timedelta(days=40)).isoformat()))
    found = rows("SELECT tableoid::regclass::text AS name, recorded_at FROM transactions")
    assert {row["name"] for row in found} == set().union(*[_months(row["recorded_at"], 1) for row in found])


def test_a_missing_partition_loses_nothing(record: Record, database: Database, rows: Rows, put_settings: PutSettings) -> None:
    """The default partition takes what has no month of its own, and a month with rows in it is not made over them."""
    put_settings(users=["ada"])
    rows(f"DROP TABLE {', '.join(_months(datetime.now(UTC), 2))}")
    assert record(event()).outcomes == [Outcome.RECORDED]
    assert {row["name"] for row in rows("SELECT tableoid::regclass::text AS name FROM transactions")} == {"transactions_default"}
    held = set().union(*[_months(row["recorded_at"], 1) for row in rows("SELECT recorded_at FROM transactions")])
    with database.transaction() as connection:
        wanted = _months(transaction_time(connection), 1)
        assert set(connection.execute(text("SELECT ensure_partitions(0)")).scalars()) == wanted - held
