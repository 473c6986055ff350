"""How many bytes of disk and of the write-ahead log one event costs."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import psycopg

from core.config import Configuration
from core.events.parsing import RawEvent
from core.ledger.opening import KnownAccounts
from core.prices.model import Mode
from core.recording.delivery import read_events
from lab.bench.floors import BATCH_EVENTS, record
from lab.bench.priced import open_price_book, priced_events
from lab.bench.traffic import Member, events
from lab.bench.wide import CROWDS
from lab.postgres import DATABASE, SUPERUSER, PostgresServer
from lab.services import Services

# A table with what TOAST holds for it, its indexes by themselves: together what pg_total_relation_size says.
_SIZES = """
    SELECT c.relname, CASE WHEN c.relkind IN ('i', 'I') THEN pg_total_relation_size(c.oid) ELSE pg_table_size(c.oid) END AS bytes
      FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind NOT IN ('v', 'c') ORDER BY bytes DESC
"""

_EVENTS_MAX = 2**31  # more than are ever taken
_LARGE = 1  # bytes per event, from which a relation is told by its name


@dataclass(frozen=True)
class Size:
    """Bytes per event: on disk by relation (a table without its indexes, each of them by itself), and of the log by number of accounts."""

    relations: dict[str, float]
    wal: dict[int, float]
    times_v1: float  # an event of version 2 whose price is computed, with a usage object, on disk; and in the log
    wal_times_v1: float

    @property
    def disk(self) -> float:
        """All relations together."""
        return sum(self.relations.values())


def size_per_event(services: Services, n: int) -> Size:
    """Records `n` events of 1,000 accounts in fresh books of servers of their own, whose sizes are taken then, and as many of 100,000.

    The log is counted from a checkpoint on with `full_page_writes`, as the default is: what is touched first after it is written whole.
    The accounts are opened meanwhile where there are 1,000, and there already where there are 100,000.
    """
    config = Configuration(database_url=services.database_url)
    with psycopg.connect(PostgresServer(services.directory / "postgres").url(SUPERUSER, DATABASE), autocommit=True) as connection:
        assert connection.execute("SHOW full_page_writes").fetchone() == ("on",)
        wal = {1_000: _recorded(connection, config, n, _events(None))}
        sizes: list[tuple[str, int]] = connection.execute(_SIZES).fetchall()
        CROWDS[100_000].make(services.database_owner_url)
        before = _disk(connection)
        open_price_book(services)
        priced = _recorded(connection, config, n, _priced())
        on_disk = (_disk(connection) - before) / n
        wal[100_000] = _recorded(connection, config, n, _events(CROWDS[100_000].uniform()))
    largest = {name: bytes_ / n for name, bytes_ in sizes if bytes_ >= _LARGE * n}
    relations = largest | {"all others": sum(bytes_ / n for name, bytes_ in sizes if name not in largest)}
    return Size(relations, wal, on_disk / sum(relations.values()), priced / wal[1_000])


def _disk(connection: psycopg.Connection[Any]) -> int:
    found: list[tuple[str, int]] = connection.execute(_SIZES).fetchall()
    return sum(bytes_ for _, bytes_ in found)


def _recorded(connection: psycopg.Connection[Any], config: Configuration, n: int, source: Iterator[RawEvent]) -> float:
    """Bytes of the log per event, of `n` events just recorded."""
    batches = (read_events(islice(source, BATCH_EVENTS)) for _ in range(n // BATCH_EVENTS))
    connection.execute("CHECKPOINT")
    before = _position(connection)
    for _ in record(config, batches, KnownAccounts()):
        pass
    return (_position(connection) - before) / n


def _position(connection: psycopg.Connection[Any]) -> float:
    """How many bytes the log has had so far."""
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    return float(row[0])


def _events(members: Iterator[Member] | None) -> Iterator[RawEvent]:
    """Events with what producers usually send beside the price: provider, model, feature, workflow and three token counts."""
    for event in events(_EVENTS_MAX, members=members):
        whole = {**event, "workflow_id": str(uuid.uuid4()), "usage": {**event["usage"], "cached_input_tokens": 1000}}
        yield RawEvent(msgspec.json.encode(whole), "bench")


def _priced() -> Iterator[RawEvent]:
    """The same of version 2, with a usage object and no price."""
    for event in priced_events(_EVENTS_MAX, Mode.COMPUTED):
        yield RawEvent(msgspec.json.encode({**event, "workflow_id": str(uuid.uuid4())}), "bench")
