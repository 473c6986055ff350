"""`python -m lab.bench.upgrade`: an upgrade of large books beside running recorders, and how long anybody waited for a lock."""

import argparse
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, sleep

import psycopg
from rich.console import Console

from core.config import Configuration
from core.database.database import Database
from core.errors import StorageUnavailable
from core.ledger.opening import KnownAccounts
from core.recording.record_usage import record_usage
from core.schema.migrate import check, upgrade
from lab.bench.books import benchmark_services
from lab.bench.report import machine
from lab.bench.traffic import raw_events
from lab.services import Services

RECORDERS, EVENTS = 2, 500
AT_ONCE = 1_000_000
SAMPLE_SECONDS = 0.01

# The indexes as books had them before they became lean. Tables and columns that came later stay: today's recorders need them, and the
# migrations that made them find them there.
SET_BACK = """
    DROP INDEX ix_transactions_account_id_recorded_at, ix_transactions_mandate_id_recorded_at;
    CREATE INDEX ix_transactions_account_id_recorded_at_id ON transactions (account_id, recorded_at, id);
    CREATE INDEX ix_transactions_mandate_id_recorded_at_id ON transactions (mandate_id, recorded_at, id);
    ALTER TABLE event_keys DROP CONSTRAINT pk_event_keys, ADD CONSTRAINT pk_event_keys PRIMARY KEY (mandate_id, event_id);
    UPDATE alembic_version SET version_num = '0024_erasures'
"""

_FILL = """
    WITH recorded AS (
        INSERT INTO transactions (id, mandate_id, event_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                  provider, model, feature_code, input_tokens, output_tokens, created_by_user_id, occurred_at, local_date,
                                  settings_version, batch_id)
        SELECT nextval('transactions_id_seq'), 'old' || n %% 5000, uuidv7(), -1 - n %% 100000, -1 - n %% 100000, 'DEBIT', 0.001, 'WORKFLOW',
               'AI Usage', 'anthropic', 'claude-sonnet-4', 'chat', 1200, 80, 'u1', now(), now()::date, 1, -1
          FROM generate_series(1, %(rows)s) n
        RETURNING mandate_id, event_id, id, recorded_at
    )
    INSERT INTO event_keys (mandate_id, event_id, payload_hash, hash_version, transaction_id, recorded_at)
    SELECT mandate_id, event_id, sha256(''), 1, id, recorded_at FROM recorded
"""

# The upgrade itself waits for transactions to end, which harms nobody.
_LONGEST = """
    SELECT coalesce(extract(epoch FROM max(clock_timestamp() - l.waitstart)), 0)::float8
      FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.usename <> current_user
"""


class Recorder(threading.Thread):
    """Records batches, one after the other, until told to stop."""

    def __init__(self, config: Configuration) -> None:
        super().__init__(daemon=True)
        self.stopping, self.recorded, self.tried_again = threading.Event(), 0, 0
        self._config = config

    def run(self) -> None:
        """Each batch is recorded, whatever it takes."""
        database, known = Database(self._config.require_database_url(), self._config), KnownAccounts()
        while not self.stopping.is_set():
            batch = raw_events(EVENTS)
            while True:
                try:
                    result = record_usage(database, batch, config=self._config, known_accounts=known, worker="bench")
                except StorageUnavailable:
                    self.tried_again += 1
                else:
                    self.recorded += len(result.outcomes)
                    break
        database.dispose()


@contextmanager
def longest_wait(url: str) -> Iterator[list[float]]:
    """Looks every hundredth of a second who waits for a lock; the list has the longest wait seen, in seconds."""
    longest, over = [0.0], threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.is_set():
                row = connection.execute(_LONGEST).fetchone()
                assert row is not None
                longest[0] = max(longest[0], row[0])
                sleep(SAMPLE_SECONDS)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield longest
    finally:
        over.set()
        thread.join()


def measured(own: Services, rows: int, console: Console) -> dict[str, float]:
    """Fills the books as they were, upgrades them beside two recorders, and checks that each event is there once."""
    config = Configuration(database_url=own.database_url)
    with psycopg.connect(own.database_owner_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as owner:
        owner.execute(SET_BACK)
        for done in range(0, rows, AT_ONCE):
            owner.execute(_FILL, {"rows": min(AT_ONCE, rows - done)})
            console.print(f"{min(done + AT_ONCE, rows):,} of {rows:,} rows are there")
        owner.execute("ANALYZE transactions, event_keys")
    recorders = [Recorder(config) for _ in range(RECORDERS)]
    for recorder in recorders:
        recorder.start()
    with longest_wait(own.database_owner_url) as longest:
        started = perf_counter()
        upgrade(own.database_owner_url, own.database_url, tell=console.print)
        seconds = perf_counter() - started
        for recorder in recorders:
            recorder.stopping.set()
            recorder.join()
    assert check(own.database_owner_url, own.database_url) == []
    sent = sum(recorder.recorded for recorder in recorders)
    with psycopg.connect(own.database_owner_url) as owner:
        found = owner.execute("SELECT count(*), count(DISTINCT (mandate_id, event_id)) FROM transactions WHERE event_id IS NOT NULL").fetchone()
    assert found == (rows + sent, rows + sent), found
    return {
        "rows": rows,
        "seconds": seconds,
        "longest_lock_wait_seconds": longest[0],
        "events_recorded_meanwhile": sent,
        "batches_tried_again": sum(recorder.tried_again for recorder in recorders),
    }


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench.upgrade", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line")
    parser.add_argument("--rows", type=int, default=20_000_000, help="transactions before the upgrade (default 20,000,000)")
    arguments = parser.parse_args()
    with benchmark_services() as own:
        figures = measured(own, arguments.rows, Console(stderr=True))
    if arguments.json:
        print(json.dumps({"machine": machine(), **figures}))  # noqa: T201
        return 0
    for name, value in figures.items():
        Console().print(f"{name.replace('_', ' ')}: {value:,.2f}" if isinstance(value, float) else f"{name.replace('_', ' ')}: {value:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
