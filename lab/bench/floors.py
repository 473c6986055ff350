"""What PostgreSQL itself can do on this machine: the least SQL there is, and the recorder's own statements."""

import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter

import psycopg

from core.config import Configuration
from core.database.database import Database
from core.ledger.opening import KnownAccounts
from core.recording.batch import settle_batch
from core.recording.delivery import Delivery, read_events
from core.recording.settle import settle
from lab.bench.traffic import raw_events, time_ordered_id

BATCH_EVENTS = 1000  # events
WARM_UP = 12  # batches: they open the accounts and prepare the statements, whose plans by then no longer know their parameters

_NARROW_TABLES = """
    DROP SCHEMA IF EXISTS bench CASCADE;
    CREATE SCHEMA bench;
    CREATE TABLE bench.account (id int PRIMARY KEY, balance numeric(20,9) NOT NULL DEFAULT 0);
    INSERT INTO bench.account SELECT g, 100 FROM generate_series(1, 1000) g;
    CREATE TABLE bench.entry (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id text NOT NULL UNIQUE, account_id int NOT NULL, balance_account_id int NOT NULL,
        kind smallint NOT NULL, amount numeric(20,9) NOT NULL, provider text, model text, feature text, description text,
        occurred_at timestamptz NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
    CREATE INDEX ON bench.entry (account_id, occurred_at DESC);
"""

_NARROW_RECORD = """
    WITH given AS (SELECT * FROM unnest(%b::text[], %b::int[], %b::numeric[], %b::text[], %b::text[], %b::text[], %b::timestamptz[])
                          AS g(event_id, account_id, amount, provider, model, feature, occurred_at)),
    inserted AS (INSERT INTO bench.entry (event_id, account_id, balance_account_id, kind, amount, provider, model, feature, description, occurred_at)
                 SELECT event_id, account_id, account_id, 1, amount, provider, model, feature, 'AI Usage', occurred_at FROM given ORDER BY event_id
                 ON CONFLICT (event_id) DO NOTHING RETURNING balance_account_id, amount),
    folded AS (SELECT balance_account_id AS id, sum(amount) AS total FROM inserted GROUP BY 1),
    locked AS (SELECT a.id FROM bench.account a JOIN folded USING (id) ORDER BY a.id FOR UPDATE OF a),
    moved AS (UPDATE bench.account a SET balance = a.balance - f.total FROM folded f, locked l WHERE a.id = f.id AND l.id = f.id RETURNING 1)
    SELECT count(*) FROM inserted
"""


def sql_floor(owner_url: str, events: int, batch: int = 1000) -> float:
    """Events/s of one bare connection into narrow tables: idempotent insert and folded balance update, durable commits."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(_NARROW_TABLES)
        connection.commit()
        batches = [_narrow_batch(batch) for _ in range(events // batch)]
        for warm_up in batches[:3]:
            connection.execute(_NARROW_RECORD, warm_up)
            connection.rollback()
        started = perf_counter()
        for one in batches:
            connection.execute(_NARROW_RECORD, one)
            connection.commit()
        seconds = perf_counter() - started
        connection.execute("DROP SCHEMA bench CASCADE")
    return len(batches) * batch / seconds


def _narrow_batch(n: int) -> tuple[list[object], ...]:
    now = datetime.now(UTC)
    return (
        [str(uuid.uuid4()) for _ in range(n)],
        [random.randint(1, 1000) for _ in range(n)],
        [Decimal(random.randint(1, 100_000)) / 1_000_000 for _ in range(n)],
        ["anthropic"] * n,
        ["claude-sonnet-4"] * n,
        ["chat"] * n,
        [now] * n,
    )


def schema_floor(config: Configuration, events: int, batch: int = BATCH_EVENTS, make_id: Callable[[], str] = time_ordered_id) -> float:
    """Events/s of the recorder's own statements on the product's tables: one connection, events parsed beforehand, no broker."""
    batches = [read_events(raw_events(batch, make_id=make_id)) for _ in range(events // batch + WARM_UP)]
    return batch * batches_per_second(config, batches, KnownAccounts())


def record(config: Configuration, batches: Iterable[list[Delivery]], known: KnownAccounts) -> Iterator[None]:
    """Records the batches by one connection of its own; yields before each of them, and at the end."""
    database = Database(config.require_database_url(), config)
    try:
        for deliveries in batches:
            yield
            with database.transaction() as connection:
                settled = settle_batch(connection, deliveries, settle, config=config, known_accounts=known, worker="bench")
            known.add(settled.accounts)
        yield
    finally:
        database.dispose()


def batches_per_second(config: Configuration, batches: list[list[Delivery]], known: KnownAccounts) -> float:
    """How many of the batches, after the first 12, one connection records per second."""
    times = [perf_counter() for _ in record(config, batches, known)]
    return (len(batches) - WARM_UP) / (times[-1] - times[WARM_UP])
