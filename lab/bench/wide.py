"""The recorder by the number of accounts and mandates that usage is about and for members new to the books, and a worker's memory.

What differs between two of these rates is what their names say: events, batches and the lengths of ids are the same, and the members of
1,000 accounts are spread over as many mandates as those of a million.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import redis

from core.config import Configuration
from core.ledger.opening import KnownAccounts
from core.recording.delivery import Delivery, read_events
from lab.bench.crowds import Crowd
from lab.bench.drains import Drained, events_recorded, recorded, workers
from lab.bench.floors import BATCH_EVENTS, WARM_UP, batches_per_second, record
from lab.bench.goals import ACCOUNTS, FEW_MANDATES, MANY_MANDATES, recorder
from lab.bench.traffic import Member, events, fill, raw_events
from lab.services import Services

_MANDATES = 200
CROWDS = {accounts: Crowd(name, _MANDATES, accounts // _MANDATES) for accounts, name in zip(ACCOUNTS, "rst", strict=True)}
_FEW, _MANY = Crowd("v", 50, 2_000), Crowd("w", 10_000, 10)
_ZIPF_WARM_UP = 100_000  # events
_numbers = itertools.count()
_GRANTS = "SELECT count(*) FROM operation_keys WHERE operation = 'grant' AND starts_with(mandate_id, %s)"


class Recorder:
    """A process that records for one crowd. It begins with knowing no account and remembers between rounds; each has a new connection."""

    def __init__(self, services: Services, crowd: Crowd, members: Iterator[Member]) -> None:
        """`members` are those who use something while it is measured."""
        self._config, self._owner_url = Configuration(database_url=services.database_url), services.database_owner_url
        self._crowd, self._members, self._known = crowd, members, KnownAccounts()

    def warm_up(self, members: Iterator[Member], events: int) -> None:
        """Makes the crowd where it isn't there, and records so many events of `members`."""
        self._crowd.make(self._owner_url)
        for _ in record(self._config, (_read(members) for _ in range(events // BATCH_EVENTS)), self._known):
            pass

    def rate(self, events: int) -> float:
        """Events/s of one connection, after the batches by which its plans no longer know their parameters."""
        batches = [_read(self._members) for _ in range(events // BATCH_EVENTS + WARM_UP)]
        return BATCH_EVENTS * batches_per_second(self._config, batches, self._known)


def wide_paths(own: Services, scale: float) -> dict[str, Callable[[], Drained]]:
    """Each rate by name, as a function that measures it once.

    Before the first round each account of the crowd is met once; by Zipf's law, 100,000 events are recorded.
    """
    crowds = {recorder(accounts): crowd for accounts, crowd in CROWDS.items()} | {FEW_MANDATES: _FEW, MANY_MANDATES: _MANY}
    found = {name: _path(own, crowd, crowd.uniform(), crowd.each_once(), crowd.accounts, scale) for name, crowd in crowds.items()}
    for accounts, crowd in CROWDS.items():
        members = crowd.zipf()
        found[recorder(accounts, zipf=True)] = _path(own, crowd, members, members, _ZIPF_WARM_UP, scale)
    return found


def _path(own: Services, crowd: Crowd, members: Iterator[Member], first: Iterator[Member], first_events: int, scale: float) -> Callable[[], Drained]:
    one, is_warm = Recorder(own, crowd, members), False

    def measure() -> Drained:
        nonlocal is_warm
        if not is_warm:
            one.warm_up(first, int(first_events * scale))
            is_warm = True
        return Drained(one.rate(int(100_000 * scale)))

    return measure


def newcomers_per_second(services: Services, accounts: int) -> float:
    """Accounts/s that are opened by their member's first usage, each with its grant, in batches of 1,000 events of as many members."""
    config, per_mandate = Configuration(database_url=services.database_url), -(-(accounts + WARM_UP * BATCH_EVENTS) // _MANDATES)
    crowd = Crowd(f"n{next(_numbers):02}", _MANDATES, per_mandate)
    crowd.make(services.database_owner_url, with_accounts=False)
    members = crowd.each_once()
    batches = [_read(members) for _ in range(accounts // BATCH_EVENTS + WARM_UP)]
    rate = BATCH_EVENTS * batches_per_second(config, batches, KnownAccounts())
    with psycopg.connect(services.database_owner_url) as owner:
        assert owner.execute(_GRANTS, [crowd.name]).fetchone() == (len(batches) * BATCH_EVENTS,)
    return rate


def peak_memory_mib(services: Services, accounts: int, scale: float) -> float:
    """The highest resident memory of a real worker that has recorded one event of each of so many accounts, in batch messages."""
    crowd = CROWDS[accounts]
    crowd.make(services.database_owner_url)
    n = int(accounts * scale)
    with (
        redis.Redis.from_url(services.broker_url) as client,
        psycopg.connect(services.database_owner_url, autocommit=True) as connection,
        workers(services, 1) as (worker,),
    ):
        before = events_recorded(connection)
        fill(client, "batch", events(n, members=crowd.each_once()))
        recorded(connection, before + n)
        status = Path(f"/proc/{worker.pid}/status").read_text(encoding="utf-8")
    (peak_kib,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(peak_kib) / 1024


def _read(members: Iterator[Member]) -> list[Delivery]:
    return read_events(raw_events(BATCH_EVENTS, members=members))
