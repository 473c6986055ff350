"""What is held beside balances, on large books: where nothing is held no hold is looked at, else those alone that the clock has ended."""

from collections.abc import Callable

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.ledger.read_accounts import accounts_of
from core.ledger.read_balance import balance
from core.ledger.read_balances import balances_of_user, mandate_balances, user_balances
from tests.books.test_list_plans import read_by
from tests.books.test_view_plans import statements
from tests.conftest import DatabaseUrls

ACCOUNTS, HOLDING, OVER, PARKED = 100_000, 1_000, 20, 20_000
_FILL = f"""
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                  notify_on_warning, time_zone)
    SELECT m, model, 10, 10, true, true, 'UTC'
      FROM (VALUES ('quiet', 'PREPAY_USER'), ('users', 'PREPAY_USER'), ('pool', 'PREPAY_MANDATE')) AS s(m, model);
    INSERT INTO accounts (mandate_id, user_id, account_type, opened_version, balance, held)
    SELECT m, 'u' || lpad(CAST(n AS text), 6, '0'), 'USER', 1, 2, CASE WHEN m = 'users' AND n <= {HOLDING} THEN 1 ELSE 0 END
      FROM unnest(ARRAY['quiet', 'users']) AS m, generate_series(1, {ACCOUNTS}) AS n;
    INSERT INTO accounts (mandate_id, account_type, opened_version, balance, held) VALUES ('pool', 'MANDATE', 1, 2, {HOLDING});
    INSERT INTO directory_memberships (mandate_id, user_id) VALUES ('pool', 'ada');
    INSERT INTO holds (mandate_id, hold_key, user_id, balance_account_id, amount, local_date, authorised_at, expires_at)
    SELECT a.mandate_id, 'k' || n, coalesce(a.user_id, 'ada'), a.id, 1, '2026-01-01', now(),
           now() + CASE WHEN n <= {OVER} THEN interval '-1 minute' ELSE interval '10 minutes' END
      FROM (SELECT *, row_number() OVER (PARTITION BY mandate_id ORDER BY user_id) AS n FROM accounts WHERE held > 0 AND mandate_id = 'users'
            UNION ALL
            SELECT a.*, n FROM accounts a, generate_series(1, {HOLDING}) AS n WHERE a.mandate_id = 'pool') AS a;
    INSERT INTO holds (mandate_id, hold_key, user_id, amount, state, captured, settled_at, local_date, authorised_at, expires_at)
    SELECT 'users', 's' || n, 'u000001', 1, 'CAPTURED', 1, now(), '2026-01-01', now(), now() FROM generate_series(1, {ACCOUNTS}) AS n;
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, received_at, hold_key,
                               hold_user_id)
    SELECT 'users', 'e' || n, '', 1, 'x', false, 'test', 'unknown_mandate', now(), 'k' || n, 'u' || lpad(CAST(n AS text), 6, '0')
      FROM generate_series(1, {PARKED}) n;
"""

LIMIT = 100
Asked = Callable[[Database], object]
QUIET: dict[str, Asked] = {
    "of a mandate": lambda books: balance(books, ROOT, "quiet"),
    "accounts": lambda books: accounts_of(books, ROOT, "quiet"),
    "of users": lambda books: user_balances(books, ROOT, ["quiet"]),
}
HELD: dict[str, Asked] = {
    "of a mandate": lambda books: balance(books, ROOT, "users"),
    "of a pool": lambda books: balance(books, ROOT, "pool"),
    "accounts": lambda books: accounts_of(books, ROOT, "users", limit=LIMIT),
    "of users": lambda books: user_balances(books, ROOT, ["users"], limit=LIMIT),
    "of mandates": lambda books: mandate_balances(books, ROOT),
    "of a user": lambda books: balances_of_user(books, ROOT, "ada"),
}


@pytest.fixture
def large_books(owner_database: Database) -> None:
    """A mandate with 100,000 accounts of which 1,000 hold, one with as many that don't, and one whose pool holds for 1,000 calls."""
    with owner_database.transaction() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        for statement in _FILL.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql("ANALYZE")


def test_holds_are_read_where_something_is_held(large_books: None, database: Database, database_urls: DatabaseUrls) -> None:
    """None for a balance of which nothing is held; else, for each such balance, those that are over: never the thousand that are open."""
    for name, ask in QUIET.items():
        assert read_of_holds(database, database_urls, ask) == [0, 0], name
    for name, ask in HELD.items():
        shown = LIMIT if name in ("accounts", "of users") else 2
        assert max(read_of_holds(database, database_urls, ask)) <= 3 * shown * OVER, name


def read_of_holds(database: Database, urls: DatabaseUrls, ask: Asked) -> list[float]:
    """How many holds the view's statements have read, and parked events that name one: planned for their parameters, and for any."""
    with statements() as seen:
        ask(database)
    read = {"force_custom_plan": 0.0, "force_generic_plan": 0.0}
    for mode, tables in read_by(urls.owner, seen):
        read[mode] += sum(rows for name, rows in tables.items() if name.endswith((" on holds", " on parked_events")))
    return list(read.values())
