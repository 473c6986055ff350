"""Many events re-rated: each once, to the last digit, in memory that doesn't grow with them, while workers go on recording."""

import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from threading import Event, Thread

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.prices.model import Mode
from core.prices.modes import set_mode
from tests.conftest import DatabaseUrls, Record, Rows
from tests.movements.rerating import SINCE, TODAY, broken, set_terms, usage
from tests.prices.scene import accepted, row
from tests.scene import Breaches, PutSettings

BATCH = 1000
GROWTH_MAX = 48 * 1024  # KiB, of a process that re-rates any number of events

# In a process of its own, whose memory is what re-rating takes and nothing else.
_RERATE = """
import json, resource, sys
from datetime import date
from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.movements.rerate import check_rerate, rerate
from core.movements.rerating import Rerating
url, version, first, last = sys.argv[1:]
database = Database(url, Configuration(database_url=url))
asked = Rerating("k", int(version), date.fromisoformat(first), date.fromisoformat(last))
check_rerate(database, ROOT, Rerating("k", int(version), date.fromisoformat(first), date.fromisoformat(last), model="nothing"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = rerate(database, ROOT, asked, by="olga", worker="test")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"events": sum(delta.events for delta in result.deltas), "grown": after - before}))
"""


@pytest.mark.parametrize("events", [2_000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_many_events_are_re_rated_in_bounded_memory_beside_workers(
    events: int, database: Database, database_urls: DatabaseUrls, put_settings: PutSettings, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """Each of `events` calls used another number of tokens; their new prices add up to what is computed by hand."""
    put_settings("acme", users=["ada", "bob"])
    set_terms(database, rate="1", markup="0")
    accepted(database, [row(), row(leaf="output", amount="15")])
    set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=SINCE)
    for first in range(0, events, BATCH):
        record(*(_call(n) for n in range(first, first + BATCH)))
    version = accepted(database, [row(amount="10")])
    done = Event()
    live = Thread(target=lambda: _work(record, done))
    live.start()
    try:
        days = TODAY.isoformat(), (TODAY + timedelta(days=1)).isoformat()
        command = [sys.executable, "-c", _RERATE, database_urls.worker, str(version), *days]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    finally:
        done.set()
        live.join()
    assert told["events"] == events
    assert told["grown"] < GROWTH_MAX, told
    (sums,) = rows("SELECT count(*) AS n, sum(amount) AS sum FROM transactions WHERE operation_key = 'k' AND transaction_type = 'DEBIT'")
    tokens = events * (events + 1) // 2  # 1 + 2 + 3 …, at 10 USD per million, and 15 for each output of 100
    assert (sums["n"], sums["sum"]) == (events, Decimal(tokens * 10 + events * 100 * 15) / 10**6)
    assert broken(breaches) == set()


def _call(n: int) -> dict[str, object]:
    counts = {"input_tokens": n + 1, "output_tokens": 100, "total_tokens": n + 101}
    return usage(event_id=f"e{n}", user_id=("ada", "bob")[n % 2], usage=counts)


def _work(record: Record, done: Event) -> None:
    """What a worker does meanwhile, on the same accounts."""
    while not done.wait(0.02):
        record(*(usage() for _ in range(20)))
