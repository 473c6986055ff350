"""No statement turns quadratic, and none reads a large table for a few rows: each verb on books of 100,000 accounts (see plans.py)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from core.operations.record_usage import record_usage
from core.operations.recording.work import KnownAccounts
from core.storage.database import Database
from lab.postgres import SUPERUSER, PostgresServer
from tests.conftest import TEMPLATE, IsolatedConfiguration, own_database
from tests.events import event, raw
from tests.storage.plans import PARKED, Books, faults, fill, listening, tell_plans

Verb = Callable[[Books, int], None]

SIZES = (1, 1_000, 5_000)
# The planner's statistics, how it plans, and how many rows are few: where it knows the number of elements it may well read a table once.
MODES = {
    "generic": (True, "force_generic_plan", 1_000),
    "generic, never analysed": (False, "force_generic_plan", 1_000),
    "planned each time, never analysed": (False, "force_custom_plan", 200_000),
}


def _record(books: Books, n: int, known: KnownAccounts | None = None) -> None:
    events = [raw(event(event_id=books.name(), mandate_id=m, user_id=u)) for m, u in books.holders(n)]
    result = record_usage(books.database, events, config=books.config, known_accounts=known or KnownAccounts(), worker="test")
    assert set(result.outcomes) == {"recorded"}


VERBS: dict[str, Verb] = {
    "record": _record,
}


@pytest.fixture(scope="module")
def all_books(postgres: PostgresServer) -> Iterator[dict[str, Books]]:
    """The books by mode, made once and copied."""
    with ExitStack() as stack:
        stack.enter_context(listening())
        first = stack.enter_context(own_database(postgres, TEMPLATE))
        owner = Database(first.owner, IsolatedConfiguration())
        fill(owner)
        owner.dispose()
        administrator = stack.enter_context(psycopg.connect(postgres.url(SUPERUSER, "postgres"), autocommit=True))
        made = {}
        for mode, (analysed, plan_cache_mode, _) in MODES.items():
            urls = stack.enter_context(own_database(postgres, first.owner.rpartition("/")[2]))
            tell_plans(administrator, urls.owner.rpartition("/")[2], plan_cache_mode)
            if analysed:
                with psycopg.connect(urls.owner, autocommit=True) as connection:
                    connection.execute("ANALYZE")
            config = IsolatedConfiguration(database_url=urls.worker, database_owner_url=urls.owner, parked_limit_total=PARKED)
            books = Books(Database(urls.worker, config), Database(urls.owner, config), config)
            stack.callback(books.database.dispose)
            stack.callback(books.owner.dispose)
            made[mode] = books
        yield made


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("verb", VERBS)
def test_statements_look_at_ten_rows_per_element_at_most(verb: str, mode: str, all_books: dict[str, Books]) -> None:
    """With 1, 1,000 and 5,000 elements, whatever the planner knows."""
    books = all_books[mode]
    for n in SIZES:
        with books.plans() as plans:
            VERBS[verb](books, n)
        assert plans
        found = [fault for plan in plans for fault in faults(plan, n, MODES[mode][2])]
        assert not found, "\n".join(found)
