"""`python -m lab.bench.reconcile`: how long the nightly check takes on books of a year: all of it, and from its checkpoint on."""

import argparse
import sys
from collections.abc import Callable
from time import perf_counter

import psycopg
from rich.console import Console

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.statistics.rebuild import rebuild_statistics
from core.verifying.reconcile import reconcile, violations_in
from core.verifying.sql.invariants.events import PAYLOAD_HASH_V1
from lab.bench.books import benchmark_services
from lab.bench.goals import Limit, verdicts
from lab.bench.report import print_json, print_tables
from lab.bench.traffic import MANDATES, USERS
from lab.services import Services

_CHUNK = 1_000_000
_EVENTS_PER_BATCH = 500

# Pools that pay and may owe, so that the books are in order without grants and alerts; a partition for each month of the year.
_BOOKS = f"""
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                  notify_on_warning, time_zone)
    SELECT 'm' || m, 'CREDIT_POSTPAY', 10, 10, true, true, 'Europe/Zurich' FROM generate_series(0, {MANDATES - 1}) m;
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                          notify_on_warning, time_zone, changed_by, changed_at)
    SELECT mandate_id, version, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance, notify_on_warning, time_zone,
           'bench', now() - interval '2 years' FROM billing_settings WHERE mandate_id ~ '^m[0-9]';
    INSERT INTO accounts (mandate_id, user_id, account_type, opened_version)
    SELECT 'm' || m, CASE WHEN u >= 0 THEN 'u' || u END, CASE WHEN u >= 0 THEN 'USER' ELSE 'MANDATE' END, 1
      FROM generate_series(0, {MANDATES - 1}) m, generate_series(-1, {USERS - 1}) u;
    DO $$
    DECLARE
        v_month timestamptz;
    BEGIN
        SET LOCAL timezone = 'UTC';
        FOR v_month IN SELECT generate_series(date_trunc('month', now() - interval '1 year'), now() - interval '1 month', '1 month') LOOP
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF transactions FOR VALUES FROM (%L) TO (%L)',
                           'transactions_' || to_char(v_month, 'YYYY_MM'), date_trunc('month', v_month),
                           date_trunc('month', v_month) + interval '1 month');
        END LOOP;
    END
    $$
"""

_HASH = PAYLOAD_HASH_V1.replace("\\:", ":")
_RECORD = f"""
    WITH year AS (
        SELECT i, 'm' || i %% {MANDATES} AS mandate_id, 'u' || i / {MANDATES} %% {USERS} AS user_id,
               -- a batch is of one moment
               now() - interval '365 days' * (1 - (i / {_EVENTS_PER_BATCH} * {_EVENTS_PER_BATCH})::float8 / %(rows)s) AS at
          FROM generate_series(%(first)s::bigint, %(last)s::bigint) i
    ), recorded AS (
        INSERT INTO transactions (id, mandate_id, event_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                  provider, model, feature_code, input_tokens, output_tokens, created_by_user_id, occurred_at, recorded_at,
                                  local_date, settings_version, batch_id)
        SELECT nextval('transactions_id_seq'), y.mandate_id, uuidv7()::text, a.id, p.id, 'DEBIT', 0.000001 * (y.i %% 1000), 'WORKFLOW', 'AI Usage',
               'anthropic', 'model-' || y.i %% 3, 'chat', 1200 + y.i %% 100, 80, y.user_id, y.at, y.at, (y.at AT TIME ZONE 'Europe/Zurich')::date,
               1, y.i / {_EVENTS_PER_BATCH} + 1
          FROM year y
          JOIN accounts a ON a.mandate_id = y.mandate_id AND a.user_id = y.user_id
          JOIN accounts p ON p.mandate_id = y.mandate_id AND p.user_id IS NULL
         ORDER BY y.i
        RETURNING *
    ), batch AS (
        INSERT INTO batches (id, worker, committed_at, recorded, first_transaction_id, last_transaction_id)
        SELECT batch_id, 'bench', max(recorded_at), count(*), min(id), max(id) FROM recorded GROUP BY batch_id
    )
    INSERT INTO event_keys (mandate_id, event_id, payload_hash, hash_version, transaction_id, recorded_at)
    SELECT t.mandate_id, t.event_id, {_HASH.replace("%", "%%")}, 1, t.id, t.recorded_at FROM recorded t
"""

_BALANCES = """
    UPDATE accounts SET balance = -s.spent
      FROM (SELECT balance_account_id, sum(amount) AS spent FROM transactions GROUP BY balance_account_id) AS s WHERE id = s.balance_account_id
"""


def full_name(rows: int) -> str:
    """The name of a full run's seconds."""
    return f"reconcile of {rows:,} transactions, full"


def part_name(rows: int) -> str:
    """The name of the seconds of a nightly run."""
    return f"reconcile of {rows:,} transactions, from the checkpoint on"


def goals(rows: int) -> list[Limit]:
    """What the two should be at most, for ten million transactions."""
    return [Limit(part_name(rows), 60, "s"), Limit(full_name(rows), 600, "s")]


def reconcile_seconds(services: Services, rows: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    """Fills books with a year of so many transactions, and reconciles them in full, until there is a checkpoint, and from there on."""
    config = Configuration(database_url=services.database_url)
    database = Database(config.require_database_url(), config)
    try:
        _fill(services, database, rows, say)
        seconds = {full_name(rows): [_seconds(database, full=1) for _ in range(2)]}
        return seconds | {part_name(rows): [_seconds(database, full=0) for _ in range(2)]}
    finally:
        database.dispose()


def _fill(services: Services, database: Database, rows: int, say: Callable[[str], None]) -> None:
    with psycopg.connect(services.database_owner_url, autocommit=True) as owner:
        owner.execute(_BOOKS)
        for first in range(0, rows, _CHUNK):
            last = min(first + _CHUNK, rows) - 1
            owner.execute(_RECORD, {"rows": rows, "first": first, "last": last})
            say(f"{last + 1:,} of {rows:,} transactions of the year")
        owner.execute(_BALANCES)
        rebuild_statistics(database, ROOT)
        owner.execute("VACUUM ANALYZE")


def _seconds(database: Database, *, full: int) -> float:
    started = perf_counter()
    counts = reconcile(database, worker="bench", at_once=True)
    assert counts is not None
    assert (counts["full"], violations_in(counts)) == (full, {})
    return perf_counter() - started


def main() -> int:
    """Measures, prints, and returns 0: a missed goal is a result, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench.reconcile", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line with every figure and the list goals_missed")
    parser.add_argument("--rows", type=int, default=10_000_000, help="transactions in the books (default 10,000,000)")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    with benchmark_services() as own:
        seconds = reconcile_seconds(own, arguments.rows, console.print)
    show = print_json if arguments.json else print_tables
    show({}, {}, verdicts(seconds, goals(arguments.rows)), dict.fromkeys(seconds, f"python -m lab.bench.reconcile --rows {arguments.rows}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
