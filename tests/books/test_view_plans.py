"""Every view on large books: so many queries, no scan of a whole partition, and no more entries read than it can need."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy import event as sql_event

from core.asking.rights import ROOT
from core.database.database import Database
from tasks.views import VIEWS
from tests.asking.test_actors import CASES
from tests.books.plans import nodes

MANDATES, USERS, ENTRIES = 50, 20, 1_000_000
# One, but for these: whose account it is, what the model was, whether they are a member, who pays, as of when, and whether what has no
# rows exists.
QUERIES_MAX = {
    **dict.fromkeys(("transactions_of_account", "movements_of_account", "statistics_of_account"), 2),
    "transactions_of_user": 2,  # theirs among the newest of all, and if these are too few, their accounts'
    "balance": 3,
    "cap": 4,
    "balance_at": 5,
    "statistics_of": 4,
    "computed_statistics": 3,
    "statement": 9,
    "list_missing": 2,
    "explain": 12,
    "explain_event": 13,
}

# Half of the mandates pay by their pool; one in a hundred events comes a month late, and one entry in ten is a payment.
_FILL = (
    """
    INSERT INTO directory_mandates (id, name) SELECT 'm' || m, 'Mandate ' || m FROM generate_series(1, :mandates) m
    """,
    """
    INSERT INTO directory_memberships (mandate_id, user_id)
    SELECT 'm' || m, 'u' || u FROM generate_series(1, :mandates) m, generate_series(1, :users) u
    """,
    """
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                  notify_on_warning, time_zone)
    SELECT 'm' || m, CASE m % 2 WHEN 0 THEN 'PREPAY_USER' ELSE 'PREPAY_MANDATE' END, 10, 10, true, true, 'UTC' FROM generate_series(1, :mandates) m
    """,
    """
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                          block_on_zero_balance, notify_on_warning, time_zone, changed_at, changed_by)
    SELECT mandate_id, 1, billing_model, 10, 10, true, true, 'UTC', '2020-01-01', 'test' FROM billing_settings
    """,
    """
    INSERT INTO accounts (mandate_id, user_id, account_type, opened_version)
    SELECT 'm' || m, CASE u WHEN 0 THEN NULL ELSE 'u' || u END, CASE u WHEN 0 THEN 'MANDATE' ELSE 'USER' END, 1
      FROM generate_series(1, :mandates) m, generate_series(0, :users) u ORDER BY u, m
    """,
    """
    INSERT INTO transactions (id, mandate_id, event_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                              provider, model, created_by_user_id, occurred_at, recorded_at, local_date, settings_version, price_computed)
    SELECT n, 'm' || m, CASE WHEN NOT pays THEN 'e' || n END, CASE WHEN pays THEN payer ELSE m + :mandates * u END, payer,
           CASE WHEN pays THEN 'CREDIT' ELSE 'DEBIT' END, 1, CASE WHEN pays THEN 'PAYMENT' ELSE 'WORKFLOW' END, 'x',
           'p', 'm', 'u' || u, at, at, CAST(at AT TIME ZONE 'UTC' AS date) - CASE WHEN late THEN 30 ELSE 0 END, 1,
           CASE WHEN NOT pays AND m = 2 THEN 1 END
      FROM (SELECT n, 1 + n % :mandates AS m, 1 + (n / :mandates) % :users AS u, (n / :mandates) % 11 = 0 AS pays, (n / :mandates) % 101 = 0 AS late,
                   1 + n % :mandates + CASE n % 2 WHEN 0 THEN 0 ELSE :mandates * (1 + (n / :mandates) % :users) END AS payer,
                   date_trunc('month', now()) + make_interval(secs => n * 5000000.0 / :entries) AS at
              FROM generate_series(1, :entries) n) AS entries
    """,
    """
    INSERT INTO price_modes (mandate_id, mode, since, created_by) VALUES ('m2', 'shadow', '2000-01-01', 'test')
    """,
    "INSERT INTO usage_shapes (shape, content_hash) VALUES ('{}', '')",  # what reads the entries for what they measure has to
    """
    INSERT INTO holds (mandate_id, hold_key, user_id, amount, local_date, authorised_at, expires_at, content_hash)
    VALUES ('m2', 'call-1', 'u7', 1, '2026-01-01', now(), now() + interval '1 day', '')
    """,
    """
    INSERT INTO caps (mandate_id, scope, period, limit_chf, action, first_day, created_by)
    VALUES ('m2', 'ALL', 'DAY', 5, 'REFUSE', '2026-01-01', 'test')
    """,
    "INSERT INTO producers (producer_id, highest, first_seen_at, last_seen_at) VALUES ('p1', 9, now(), now())",
    """
    INSERT INTO event_keys (mandate_id, event_id, payload_hash, hash_version, transaction_id, recorded_at)
    SELECT mandate_id, event_id, '', 1, id, recorded_at FROM transactions WHERE id = 51
    """,
)


@pytest.fixture
def large_books(owner_database: Database) -> None:
    """Books of 50 mandates with 20 users each over two months."""
    with owner_database.transaction() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in _FILL:
            names = {"mandates": MANDATES, "users": USERS, "entries": ENTRIES}
            connection.execute(text(statement), {name: value for name, value in names.items() if f":{name}" in statement})
        connection.execute(text("ANALYZE"))


def test_views_read_by_index_and_no_more_than_they_need(large_books: None, database: Database, owner_database: Database) -> None:
    """With and without a range of days: a bounded number of queries, none of which scans the transactions or sums over strangers' entries."""
    for view, asked in _cases():
        with statements() as seen:
            ask(database, view, asked)
        named = view == "transactions_of_mandate" or "mandate_ids" in asked  # who is named must exist
        assert 1 <= len(seen) <= QUERIES_MAX.get(view, 1) + named, (view, seen)
        for statement, parameters in seen:
            scans = transaction_scans(owner_database, statement, parameters)
            assert not [s for s in scans if s["Node Type"] == "Seq Scan"], (view, asked, statement)
            read = sum(map(entries_read, scans))
            assert read <= 1.5 * ENTRIES / MANDATES, (view, asked, read, [(s["Node Type"], entries_read(s), s.get("Filter")) for s in scans])


def _cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """What the table of rights asks, of these books; every list of transactions also for a range of days."""
    ids, first = {"acme": "m2", "globex": "m1"}, datetime.now(UTC).date().replace(day=1)
    late = first - timedelta(days=20)
    present = {"year": first.year, "month": str(first), "first": str(first), "last": str(first + timedelta(days=60))}
    for view, asked, _ in CASES:
        fields: dict[str, Any] = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in asked.items()}
        fields |= {name: present[name] for name in fields.keys() & present}
        if view == "twins":  # of all mandates it reads what they have on these days: nothing, and of one see below
            fields |= {name: asked[name] for name in ("first", "last")}
        if "user_id" in fields:
            fields["user_id"] = "u7"
        if "mandate_ids" in fields:
            fields["mandate_ids"] = [ids[mandate_id] for mandate_id in asked["mandate_ids"]]
        if "account_id" in fields:
            fields["account_id"] = 1 if fields["account_id"] == 2 else 2 + 3 * MANDATES  # a pool that pays, and a user
        yield view, fields
        if view == "twins" and "mandate_ids" in fields:
            yield view, {**fields, "first": str(late + timedelta(days=20)), "last": str(late + timedelta(days=50))}
        if "transactions" in view or "movements" in view:
            yield view, {**fields, "first": "2000-01-01", "last": "2100-01-01"}
            yield view, {**fields, "first": str(late), "last": str(late + timedelta(days=9))}


def ask(database: Database, view: str, fields: dict[str, Any]) -> None:
    """Asks as root."""
    question, function = VIEWS[f"view.{view}"]
    function(database, ROOT, **question.read({"actor": ROOT, **fields}).arguments())


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The queries that are run meanwhile, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def saw(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if "FROM" in statement:
            seen.append((statement, parameters))

    sql_event.listen(Engine, "before_cursor_execute", saw)
    try:
        yield seen
    finally:
        sql_event.remove(Engine, "before_cursor_execute", saw)


def transaction_scans(database: Database, statement: str, parameters: Any) -> list[dict[str, Any]]:
    """The nodes of the statement's plan that have read transactions."""
    with database.transaction() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    scans = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name", "").startswith("transactions")]
    return [node for node in scans if entries_read(node)]  # an empty partition may be scanned


def entries_read(node: dict[str, Any]) -> float:
    """How many entries the node has looked at."""
    return float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
