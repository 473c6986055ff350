"""The condition of large books costs what its limits say: no statement reads a table whole, whatever the planner knows."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, text

from core.database.database import Database
from core.watching import sql
from tests.books.plans import nodes

ROWS, LIMIT = 60_000, 500

_FILL = (
    """
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                  notify_on_warning, time_zone)
    SELECT 'm' || m, 'PREPAY_USER', 10, 10, true, true, 'UTC' FROM generate_series(1, 1000) m
    """,
    """
    INSERT INTO accounts (mandate_id, user_id, account_type, opened_version, balance)
    SELECT 'm' || (1 + n % 1000), 'u' || n, 'USER', 1, -1 FROM generate_series(1, :rows) n
    """,
    "INSERT INTO crossed_lines (kind, account_id) SELECT kind, id FROM accounts CROSS JOIN (VALUES ('WARNING'), ('ZERO')) AS k(kind)",
    """
    INSERT INTO dead_letters (body_sha256, body, body_length, typed_json, origin, reason, detail, status)
    SELECT sha256(CAST(CAST(n AS text) AS bytea)), '', 0, false, 'usage', CASE WHEN n % 1000 = 0 THEN 'conflict' ELSE 'malformed_json' END, '',
           CASE n % 2 WHEN 0 THEN 'OPEN' ELSE 'DISCARDED' END
      FROM generate_series(1, :rows) n
    """,
    """
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason)
    SELECT 'x' || n % 1000, 'e' || n, '', 1, '{}', false, 'test', CASE WHEN n = :rows THEN 'no_fx' ELSE 'unknown_mandate' END
      FROM generate_series(1, :rows) n
    """,
    """
    INSERT INTO holds (mandate_id, hold_key, user_id, amount, local_date, authorised_at, expires_at)
    SELECT 'm' || n % 1000, 'h' || n, 'u', 1, '2026-01-01', now(), now() + CASE n % 2 WHEN 0 THEN 1 ELSE -1 END * interval '1 hour'
      FROM generate_series(1, :rows) n
    """,
    """
    INSERT INTO caps (mandate_id, scope, period, limit_chf, action, first_day, created_by)
    SELECT 'm' || n, 'EACH_USER', 'TOTAL', 1, 'REFUSE', '0001-01-01', 'test' FROM generate_series(1, 1000) n
    """,
    """
    INSERT INTO cap_counters (cap_id, user_id, window_start, spent)
    SELECT c.id, 'u' || n, '0001-01-01', 2 FROM caps c CROSS JOIN generate_series(1, :rows / 1000) n
    """,
    """
    INSERT INTO cap_alerts (mandate_id, cap_id, user_id, window_start, share, recovered, spent_before, spent_after, threshold, limit_chf)
    SELECT c.mandate_id, c.id, k.user_id, k.window_start, s.share, false, 0, 2, 1, 1
      FROM caps c JOIN cap_counters k ON k.cap_id = c.id CROSS JOIN (VALUES (50), (100)) AS s(share)
    """,
    """
    INSERT INTO batches (worker, kind, started_at, committed_at, recorded)
    SELECT 'w', 'usage', now(), now(), 1 FROM generate_series(1, :rows)
    """,
    """
    INSERT INTO transactions (id, mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description, occurred_at,
                              local_date, settings_version, batch_id)
    SELECT nextval('transactions_id_seq'), 'm1', 1, 1, 'DEBIT', 1, 'WORKFLOW', 'x', now(), CAST(now() AT TIME ZONE 'UTC' AS date), 1, b.id
      FROM batches b
    """,
)
_LIMITS = {"counted_max": LIMIT}
# Each statement, and how many rows one of its nodes may read altogether.
STATEMENTS: dict[str, tuple[TextClause, dict[str, Any], int]] = {
    "recent": (sql.RECENT, {"batches_max": LIMIT, "seconds": 60}, LIMIT),
    "lag": (sql.LAG, {"batches_max": 20, "entries_max": LIMIT, "seconds": 60}, 20 * LIMIT),
    "letters": (sql.OPEN_LETTERS, _LIMITS, 3 * LIMIT),
    "parked": (sql.PARKED, _LIMITS, 3 * LIMIT),
    "holds": (sql.HOLDS, {"holds_max": LIMIT}, 1_000),
    "caps": (sql.CAPS_REACHED, _LIMITS, 2 * LIMIT),
    "below": (sql.BEYOND, {**_LIMITS, "kind": "WARNING"}, 2 * LIMIT),
    "low": (sql.LOW, {**_LIMITS, "kind": "ZERO", "limit": 10}, 2 * LIMIT),
}


@pytest.fixture
def large(owner_database: Database) -> Iterator[Connection]:
    """A transaction on large books, taken back afterwards."""
    with owner_database.transaction() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for table in ("parked_events", "dead_letters", "holds", "batches"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for statement in _FILL:
            connection.execute(text(statement), {"rows": ROWS} if ":rows" in statement else {})
        yield connection


def rows_read(connection: Connection, statement: TextClause, parameters: dict[str, Any]) -> dict[str, float]:
    """How many rows each node that reads a table has read, in all of its rounds, those that it threw away too."""
    explained = text(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.text}")
    (plan,) = connection.execute(explained, parameters).scalar_one()
    return {
        f"{node['Node Type']} {node['Relation Name']} {n}": node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for n, node in enumerate(nodes(plan["Plan"]))
        if "Relation Name" in node
    }


def test_what_is_read_is_bounded(large: Connection) -> None:
    """With the planner's statistics and without, each statement reads at most a few times as many rows as its limit."""
    large.execute(sql.BY_INDEX)
    for analysed in (False, True):
        if analysed:
            large.execute(text("ANALYZE"))
        for name, (statement, parameters, rows_max) in STATEMENTS.items():
            read = rows_read(large, statement, parameters)
            assert read, name
            assert max(read.values()) <= rows_max + 100, (name, analysed, read)
