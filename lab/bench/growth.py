"""`python -m lab.bench.growth`: the recorder's rate on books of many transactions, and a worker's memory before a long queue."""

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import psycopg
import redis
from rich.console import Console

from core.config import Configuration
from lab.bench.books import benchmark_services
from lab.bench.drains import queue_is_drained, workers
from lab.bench.floors import schema_floor
from lab.bench.goals import Limit, Ratio, verdicts
from lab.bench.report import machine, print_tables
from lab.bench.traffic import MANDATES, USERS, fill, random_id, time_ordered_id
from lab.services import Services

EMPTY, GROWN, GROWN_V4 = "recorder, empty books", "recorder, grown books", "recorder, grown books, random ids"
MEMORY = "peak memory of a worker before a long queue"
GOALS: list[Ratio | Limit] = [Ratio(GROWN, EMPTY, 0.85), Limit(MEMORY, 200, "MiB")]
_EVENTS = 60_000
_CHUNK = 1_000_000

# Old books: each row as the recorder writes it, but for the payload hash, which nothing here reads.
_GROW = f"""
    WITH old AS (
        SELECT i, 'm' || i %% {MANDATES} AS mandate_id, 'u' || i / {MANDATES} %% {USERS} AS user_id, nextval('transactions_id_seq') AS id,
               now() - (%(rows)s - i) * interval '1 second' / 40 AS at,
               CASE WHEN %(random)s THEN gen_random_uuid() ELSE uuidv7() END::text AS event_id
          FROM generate_series(%(first)s::bigint, %(last)s::bigint) i
    ), keys AS (
        INSERT INTO event_keys (mandate_id, event_id, payload_hash, hash_version, transaction_id, recorded_at)
        SELECT mandate_id, event_id, decode(md5(event_id) || md5(event_id), 'hex'), 1, id, at FROM old
    )
    INSERT INTO transactions (id, mandate_id, event_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                              provider, model, feature_code, input_tokens, output_tokens, created_by_user_id, occurred_at, recorded_at, local_date,
                              settings_version, batch_id)
    SELECT o.id, o.mandate_id, o.event_id, a.id, a.id, 'DEBIT', 0.000001, 'WORKFLOW', 'AI Usage', 'anthropic', 'claude-sonnet-4', 'chat', 1200, 80,
           o.user_id, o.at, o.at, o.at::date, 1, 0
      FROM old o JOIN accounts a ON a.mandate_id = o.mandate_id AND a.user_id = o.user_id
"""


def main() -> int:
    """Measures, prints, and returns 0: a missed goal is a result, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench.growth", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line with every figure and the list goals_missed")
    parser.add_argument("--rows", type=int, default=20_000_000, help="transactions in the grown books (default 20,000,000)")
    parser.add_argument("--queued", type=int, default=1_000_000, help="messages in the long queue (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default 3)")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    figures: dict[str, list[float]] = {}
    for name, make_id, random in ((GROWN, time_ordered_id, False), (GROWN_V4, random_id, True)):
        with benchmark_services() as own:
            if name == GROWN:
                console.print(f"{arguments.queued:,} queued messages …")
                figures[MEMORY] = [_peak_memory_mib(own, arguments.queued)]
            empty = _rates(own, arguments.rounds, make_id)
            figures.setdefault(EMPTY, empty)
            _grow(own, arguments.rows, random=random, say=console.print)
            figures[name] = _rates(own, arguments.rounds, make_id)
    found = verdicts(figures, GOALS)
    rates = {name: values for name, values in figures.items() if name != MEMORY}
    if arguments.json:
        print(json.dumps({"machine": machine(), "rows": arguments.rows, **figures, "goals_missed": [v.what for v in found if not v.met]}))  # noqa: T201
    else:
        print_tables(rates, {}, found, dict.fromkeys(rates, "make bench-growth"))
    return 0


def _rates(own: Services, rounds: int, make_id: Callable[[], str]) -> list[float]:
    config = Configuration(database_url=own.database_url)
    return [schema_floor(config, _EVENTS, make_id=make_id) for _ in range(rounds)]


def _grow(own: Services, rows: int, *, random: bool, say: Callable[[str], None]) -> None:
    """Fills the books and lets a checkpoint pass, so that what follows pays for full-page images as a running system does."""
    with psycopg.connect(own.database_owner_url, autocommit=True) as connection:
        connection.execute("CREATE INDEX IF NOT EXISTS bench_holder ON accounts (mandate_id, user_id)")
        for first in range(0, rows, _CHUNK):
            last = min(first + _CHUNK, rows) - 1
            connection.execute(_GROW, {"rows": rows, "random": random, "first": first, "last": last})
            say(f"{last + 1:,} of {rows:,} old transactions")
        connection.execute("VACUUM ANALYZE")
        connection.execute("DROP INDEX bench_holder")


def _peak_memory_mib(own: Services, queued: int) -> float:
    """The highest resident memory of one worker while it empties a queue of so many Celery messages."""
    with redis.Redis.from_url(own.broker_url) as client, workers(own, 0):
        fill(client, "single", queued)
        with workers(own, 1) as (worker,), _watched(worker.pid) as peak:
            queue_is_drained(own, queued)
    return peak[0] / 2**20


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    peak, done = [0], threading.Event()

    def watch() -> None:
        process = psutil.Process(pid)
        while not done.wait(0.1):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
