"""What the books hold after a run, read past every link, in one snapshot: rows for the oracle, and the product's own verdict."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.verifying.verify import verify
from lab.postgres import WORKER
from lab.torture.stage import Stage

ROWS_AT_ONCE = 5_000
DEBITS = """
    SELECT t.mandate_id, t.event_id, a.user_id, CASE WHEN t.stamp_id IS NULL THEN t.amount ELSE t.price_given END AS price_sent,
           t.occurred_at, t.provider, t.model, t.feature_code, t.usage_dialect, t.service_tier, t.hold_key,
           t.input_tokens, t.output_tokens, s.shape, t.usage_values
      FROM transactions t JOIN accounts a ON a.id = t.account_id LEFT JOIN usage_shapes s ON s.id = t.usage_shape
     WHERE t.transaction_type = 'DEBIT' AND t.reference_type = 'WORKFLOW'
"""
PARKED = "SELECT mandate_id, event_id, reason FROM parked_events"
LETTERS = "SELECT reason, mandate_id, event_id, body FROM dead_letters"
ACCOUNTS = "SELECT id, mandate_id, user_id, balance FROM accounts"
MOVED = "SELECT balance_account_id, transaction_type, sum(amount) AS amount FROM transactions GROUP BY 1, 2"
COUNTED = """
    SELECT t.account_id, coalesce(o.local_date, t.local_date) AS local_date, t.transaction_type, t.reference_type,
           count(*)::int AS count, sum(t.amount) AS amount
      FROM transactions t LEFT JOIN transactions o ON o.id = t.reverses_id AND t.transaction_type = 'ADJUSTMENT'
     WHERE t.reference_type IN ('WORKFLOW', 'AMENDMENT') GROUP BY 1, 2, 3, 4
"""
STATISTICS = """
    SELECT account_id, period_type, period_start, sum(event_count)::int AS event_count, sum(cost) AS cost FROM usage_statistics GROUP BY 1, 2, 3
"""
OUTCOMES = ("recorded", "duplicate", "conflict", "rejected", "parked", "released", "unknown_user")
BATCHES = f"SELECT count(*)::int AS batches, {', '.join(f'coalesce(sum({name}), 0)::int AS {name}' for name in OUTCOMES)} FROM batches"
ALERTS = "SELECT kind, count(*)::int AS count FROM balance_alerts GROUP BY 1"
REFUSED = "SELECT reason, count(*)::int AS count FROM dead_letters GROUP BY 1"
TOTALS = """
    SELECT (SELECT count(*)::int FROM transactions WHERE transaction_type = 'DEBIT' AND reference_type = 'WORKFLOW') AS debits,
           (SELECT count(*)::int FROM parked_events) AS parked
"""
HOLDS = "SELECT count(*)::int AS count FROM holds WHERE use_count > 0"


class Books:
    """The books at one moment."""

    def __init__(self, connection: psycopg.Connection[DictRow]) -> None:
        self._connection = connection

    def rows(self, query: str) -> Iterator[dict[str, Any]]:
        """The rows of a query, as they come."""
        with self._connection.cursor(name="rows") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            yield from cursor.execute(query.encode())

    def row(self, query: str) -> dict[str, Any]:
        """The only row of a query."""
        (row,) = self.rows(query)
        return row


@contextmanager
def books_of(stage: Stage) -> Iterator[Books]:
    """The books at this moment, as their owner sees them."""
    with closing(psycopg.connect(stage.servers.postgres.url("postgres"), row_factory=dict_row)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield Books(connection)


def outcomes(books: Books) -> dict[str, int]:
    """How many batches and events had each outcome, dead letters by reason and alerts by kind."""
    found: dict[str, int] = books.row(BATCHES)
    found |= {f"refused: {row['reason']}": row["count"] for row in books.rows(REFUSED)}
    found["holds captured"] = books.row(HOLDS)["count"]
    return found | {f"alert: {row['kind']}": row["count"] for row in books.rows(ALERTS)}


@contextmanager
def database_of(stage: Stage, login: str = WORKER) -> Iterator[Database]:
    """The books, past every link, as the product's own verbs take them."""
    database = Database(stage.servers.postgres.url(login), Configuration())
    try:
        yield database
    finally:
        database.dispose()


def violations(stage: Stage) -> Iterator[str]:
    """What violates an invariant, by the product's own `verify`: a line each, with examples."""
    with database_of(stage) as database:
        for verdict in verify(database, ROOT):
            if verdict.violations:
                samples = "; ".join(f"{sample.subject}: {sample.detail}" for sample in verdict.samples)
                yield f"verify: {verdict.invariant} is violated {verdict.violations} times: {samples}"
