"""`python -m lab.bench.profile`: where the time of one batch goes, in microseconds per event."""

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import event

from core.config import Configuration
from core.database.database import Database
from core.events.envelope import open_envelope
from core.events.message import raw_events
from core.events.parsing import parse_event
from core.events.payload import payload_hash
from core.ledger.opening import KnownAccounts
from core.recording.batch import settle_batch
from core.recording.delivery import read_events
from core.recording.settle import settle
from lab.bench import traffic
from lab.bench.books import benchmark_services
from lab.bench.report import machine
from lab.services import Services
from worker.intake.redis_source import RedisSource, connect

_WARM_UP = 8
STATEMENTS = {
    "pg_advisory_xact_lock_shared": "lock the mandates",
    "FROM billing_settings s": "read their settings",
    "nextval('batches_id_seq')": "begin the batch",
    "INTO event_keys": "claim the keys",
    "INTO transactions": "write the debits",
    "UPDATE accounts": "move the balances",
    "INTO batches": "write the batch",
}


class Stopwatch:
    """Times by name: one figure per batch, in microseconds per event."""

    def __init__(self, events: int) -> None:
        self._events = events
        self.times: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, seconds: float) -> None:
        """One batch spent so long on it."""
        self.times[name].append(seconds / self._events * 1e6)

    @contextmanager
    def cpu(self, name: str) -> Iterator[None]:
        """Notes the processor time that this process spends in the block."""
        began = time.process_time()
        yield
        self.add(name, time.process_time() - began)

    def typical(self) -> dict[str, float]:
        """The lower quartile of each, after the first batches: what it costs when nothing else disturbs."""
        return {name: statistics.quantiles(values[_WARM_UP:], n=4)[0] for name, values in self.times.items() if len(values) > _WARM_UP + 3}


def main() -> int:
    """Measures single-event Celery messages step by step and prints what each takes."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench.profile", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line")
    parser.add_argument("--batch", type=int, default=1000, help="events per batch (default 1,000)")
    parser.add_argument("--batches", type=int, default=60, help="batches (default 60)")
    arguments = parser.parse_args()
    with benchmark_services() as own:
        python, database = _measured(own, arguments.batch, arguments.batches)
    if arguments.json:
        print(json.dumps({"machine": machine(), "batch": arguments.batch, "python": python, "database": database}))  # noqa: T201
        return 0
    for title, figures in ((f"Python, processor time on {machine()}", python), ("PostgreSQL, until it has answered", database)):
        table = Table("step", "µs per event", title=title)
        for name, value in [*figures.items(), ("together", sum(figures.values()))]:
            table.add_row(name, f"{value:.2f}")
        Console().print(table)
    return 0


def _measured(own: Services, size: int, batches: int) -> tuple[dict[str, float], dict[str, float]]:
    config = Configuration(database_url=own.database_url)
    database, known, python, statements = Database(config.require_database_url(), config), KnownAccounts(), Stopwatch(size), Stopwatch(size)
    source = RedisSource(connect(own.broker_url), ["usage"], worker="profile", visibility_seconds=60)
    with redis.Redis.from_url(own.broker_url) as client:
        traffic.fill(client, "single", traffic.events(size * batches))
    _watch(database, statements)
    while True:
        with python.cpu("take from the broker"):
            claim = source.claim(size, 2**30)
        if claim is None:
            break
        with python.cpu("open the envelopes"):
            messages = [open_envelope(entry) for entry in claim.entries]
        with python.cpu("find the events"):
            raw = [one for message in messages for one in raw_events(message)]
        with python.cpu("read the events"):
            events = [parse_event(one) for one in raw]
        with python.cpu("hash the payloads"):
            _ = [payload_hash(one) for one in events]
        deliveries = read_events(raw)
        with python.cpu("record: decide, pack, fold"):
            with database.transaction() as connection:
                known.add(settle_batch(connection, deliveries, settle, config=config, known_accounts=known, worker="profile").accounts)
                settled = time.perf_counter()
            statements.add("commit", time.perf_counter() - settled)
        with python.cpu("acknowledge"):
            source.acknowledge(claim)
    return python.typical(), statements.typical()


def _watch(database: Database, statements: Stopwatch) -> None:
    """Notes how long each statement of the database takes."""

    def before(connection: Any, *_: Any) -> None:
        connection.info["began"] = time.perf_counter()

    def after(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seconds = time.perf_counter() - connection.info["began"]
        name = next((name for part, name in STATEMENTS.items() if part in statement), "open accounts and the like")
        statements.add(name, seconds)

    event.listen(database._engine, "before_cursor_execute", before)  # noqa: SLF001 - a benchmark looks inside
    event.listen(database._engine, "after_cursor_execute", after)  # noqa: SLF001 - as above


if __name__ == "__main__":
    sys.exit(main())
