"""`python -m lab.bench.growth`: recorder, rollup and nightly check on books of many transactions, and a worker's memory before a long queue."""

import argparse
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
from lab.bench.goals import Goal, Limit, Ratio, verdicts
from lab.bench.reconcile import goals as reconcile_goals
from lab.bench.reconcile import reconcile_seconds
from lab.bench.report import print_json, print_tables
from lab.bench.rollup import rollup_ratios
from lab.bench.traffic import MANDATES, USERS, events, fill, random_id, time_ordered_id
from lab.services import Services

GROWN_ROLLUP = "on grown books: rollup of 1 M events in 50,000 groups, times a bare GROUP BY"
MEMORY = "peak memory of a worker before a long queue"
SHARES = (0.05, 0.25, 1.0)  # of the rows asked for, at which the rate is measured again
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


def recorder(rows: int, *, random: bool = False) -> str:
    """The name of a rate: on books of so many transactions, with time-ordered event ids or with random ones."""
    return f"recorder, {rows:,} transactions{', random ids' if random else ''}"


def main() -> int:
    """Measures, prints, and returns 0: a missed goal is a result, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench.growth", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line with every figure and the list goals_missed")
    parser.add_argument("--rows", type=int, default=20_000_000, help="transactions in the grown books (default 20,000,000)")
    parser.add_argument("--queued", type=int, default=1_000_000, help="messages in the long queue (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements at each size (default 5)")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    rates: dict[str, list[float]] = {}
    with benchmark_services() as own:
        console.print(f"{arguments.queued:,} queued messages …")
        limits = {MEMORY: [_peak_memory_mib(own, arguments.queued)]}
    with benchmark_services() as own:
        limits |= reconcile_seconds(own, arguments.rows // 2, console.print)
    for random in (False, True):
        with benchmark_services() as own:
            rates |= _growing(own, arguments.rows, arguments.rounds, random=random, say=console.print)
            if not random:
                console.print(f"{GROWN_ROLLUP} …")
                limits[GROWN_ROLLUP] = rollup_ratios(own, _CHUNK, arguments.rounds)
    goals: list[Goal] = [Ratio(recorder(arguments.rows), recorder(0), 0.85), Limit(MEMORY, 200, "MiB"), Limit(GROWN_ROLLUP, 2, "times")]
    goals += reconcile_goals(arguments.rows // 2)
    show = print_json if arguments.json else print_tables
    show(rates, {}, verdicts(rates | limits, goals), dict.fromkeys([*rates, *limits], "make bench-growth"))
    return 0


def _growing(own: Services, rows: int, rounds: int, *, random: bool, say: Callable[[str], None]) -> dict[str, list[float]]:
    """The recorder's rates, in events/s, while its books grow to so many transactions."""
    rates, grown = {}, 0
    make_id = random_id if random else time_ordered_id
    for size in [0, *(int(rows * share) for share in SHARES)]:
        _grow(own, grown, size, rows, random=random, say=say)
        rates[recorder(size, random=random)] = _rates(own, rounds, make_id)
        grown = size
    return rates


def _rates(own: Services, rounds: int, make_id: Callable[[], str]) -> list[float]:
    config = Configuration(database_url=own.database_url)
    return [schema_floor(config, _EVENTS, make_id=make_id) for _ in range(rounds)]


def _grow(own: Services, grown: int, size: int, rows: int, *, random: bool, say: Callable[[str], None]) -> None:
    """Adds old transactions, then lets a checkpoint pass, so that what follows pays for full-page images as a running system does."""
    with psycopg.connect(own.database_owner_url, autocommit=True) as connection:
        for first in range(grown, size, _CHUNK):
            last = min(first + _CHUNK, size) - 1
            connection.execute(_GROW, {"rows": rows, "random": random, "first": first, "last": last})
            say(f"{last + 1:,} of {rows:,} old transactions")
        connection.execute("VACUUM ANALYZE")


def _peak_memory_mib(own: Services, queued: int) -> float:
    """The highest resident memory of one worker while it empties a queue of so many Celery messages."""
    with redis.Redis.from_url(own.broker_url) as client:
        fill(client, "single", events(queued))
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
