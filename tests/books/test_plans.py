"""No statement turns quadratic, and none reads a large table for a few rows: each verb on books of 100,000 accounts (see plans.py)."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.directory.sync import sync_directory
from core.recording.backfill_accounts import MEMBERS_ROWS
from core.verifying.plan_repairs import plan_repairs
from core.verifying.reconcile import reconcile
from core.verifying.verify import verify
from lab.bench.books import benchmark_services
from lab.bench.plans import PLANS, plans_of_large_books, recording_plans
from lab.postgres import SUPERUSER, PostgresServer
from tests.books import writing_verbs as writing
from tests.books.plans import MANDATES, PARKED, USERS, Books, faults, fill, listening, tell_plans
from tests.conftest import TEMPLATE, IsolatedConfiguration, own_database

Verb = Callable[[Books, int], int | None]  # which returns the number of elements, where it isn't the one given

SIZES = (1, 1_000, pytest.param(5_000, marks=pytest.mark.long))
# The planner's statistics, how it plans, and how many rows are few: those of the mandates, of which verbs add some, may be read whole; where
# it knows the number of elements it may well read any table once.
MODES = {
    "generic": (True, "force_generic_plan", 10_000),
    "generic, never analysed": (False, "force_generic_plan", 10_000),
    "planned each time": (True, "force_custom_plan", 200_000),
    "planned each time, never analysed": (False, "force_custom_plan", 200_000),
}


_SCAN = re.compile(r"(?<=Index Scan using )\w+|(?<=Index Only Scan using )\w+|(?<=Bitmap Index Scan on )\w+|Seq Scan on \w+")

VERBS: dict[str, Verb] = {
    "record": writing.record,
    "record newcomers": writing.record_newcomers,
    "record new mandates": writing.record_new_mandates,
    "park": writing.park,
    "release": writing.release,
    "authorise": writing.authorise,
    "roll up": writing.roll_up,
    "catch up": writing.catch_up,
    "rebuild": writing.rebuild,
    "discard": writing.discard,
    "replay": writing.replay,
    "age out": writing.age_out,
    "publish": writing.publish,
    "refund again": writing.refund_again,
    "amend": writing.amend,
    "switch": writing.switch,
    "count in caps": writing.count_in_caps,
    "import directory": writing.import_the_directory,
    "import books": writing.import_old_books,
    "backfill": writing.backfill,
    "merge numbers": writing.merge_numbers,
    "tell producers": writing.tell_producers,
    "find breaches": writing.find_breaches,
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


def _ways(plans: str) -> list[tuple[str, list[str]]]:
    """Each statement in plans kept as text, with the indexes that it goes by and the tables that it reads from their beginning."""
    statements = (part.partition("\n") for part in plans.split("\n\n"))
    return [(title, sorted(_SCAN.findall(plan))) for title, _, plan in statements]


def test_recording_goes_by_the_indexes_of_the_kept_plans(all_books: dict[str, Books]) -> None:
    """Each statement that recording runs, whatever its parameters, is in docs/performance/plans.txt and goes by the indexes told there."""
    books, kept = all_books["generic"], PLANS.read_text(encoding="utf-8")
    assert "Seq Scan" not in kept
    made = recording_plans(books.database, books.config, books.holders(1_000), writing.put_newcomers(books, 1_000))
    assert _ways(made) == _ways(kept), f"if it should: `python -m lab.bench.plans > docs/performance/plans.txt`\n{made}"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_recording_goes_by_the_same_indexes_on_twenty_million_entries() -> None:
    """The kept plans are those of a million accounts and 20 million entries, too."""
    with benchmark_services() as own:
        assert _ways(plans_of_large_books(own, 20_000_000, print)) == _ways(PLANS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("verb", VERBS)
def test_statements_look_at_ten_rows_per_element_at_most(verb: str, mode: str, n: int, all_books: dict[str, Books]) -> None:
    """With 1, 1,000 and 5,000 elements, whatever the planner knows."""
    books = all_books[mode]
    with books.plans() as plans:
        elements = VERBS[verb](books, n)
    assert plans
    found = [fault for plan in plans for fault in faults(plan, elements or n, MODES[mode][2])]
    assert not found, "\n".join(found)


def test_a_backfill_of_books_that_were_empty_looks_at_ten_rows_per_member_at_most(postgres: PostgresServer) -> None:
    """No plan is kept that was good while the books were empty, however often there was nothing to do on this connection."""
    with ExitStack() as stack:
        stack.enter_context(listening())
        urls = stack.enter_context(own_database(postgres, TEMPLATE))
        administrator = stack.enter_context(psycopg.connect(postgres.url(SUPERUSER, "postgres"), autocommit=True))
        tell_plans(administrator, urls.owner.rpartition("/")[2], "auto")
        config = IsolatedConfiguration(database_url=urls.worker, database_owner_url=urls.owner)
        books = Books(Database(urls.worker, config), Database(urls.owner, config), config)
        stack.callback(books.database.dispose)
        stack.callback(books.owner.dispose)
        books.sql("ANALYZE")
        for _ in range(15):
            writing.backfill(books, 0)
        for mandates, users in ((200, 100), (20_000, 0)):
            books.sql(f"INSERT INTO directory_mandates (id, name) SELECT 'm{users}-' || m, 'x' FROM generate_series(1, {mandates}) m")
            books.sql(
                f"""INSERT INTO directory_memberships (mandate_id, user_id)
                    SELECT m.id, 'u' || u FROM directory_mandates m, generate_series(1, {users}) u WHERE m.id LIKE 'm{users}-%'"""
            )
        with books.plans() as plans:
            writing.backfill(books, 0)
        assert [tuple(row) for row in books.sql("SELECT count(*), sum(balance) FROM accounts")] == [(20_000, 200_000)]
    found = [fault for plan in plans for fault in faults(plan, MEMBERS_ROWS, 0)]
    assert not found, "\n".join(found)


def _check(books: Books) -> None:
    """The invariants, the nightly check of everything and then of what came since, and what there is to repair."""
    verify(books.database, ROOT)
    for full in (True, False):
        assert reconcile(books.database, worker="test", full=full, at_once=True) is not None
    plan_repairs(books.database, ROOT)


def _sync(books: Books) -> None:
    """The directory out of a database which says what it is already."""
    selects = {
        "directory_mandates_select": "SELECT id, name, label, enabled, time_zone FROM directory_mandates",
        "directory_memberships_select": "SELECT user_id, mandate_id, enabled FROM directory_memberships",
        "directory_users_select": "SELECT id, username, display_name FROM directory_users",
    }
    config = books.config.model_copy(update={"directory_url": books.config.database_owner_url, **selects})
    assert sync_directory(books.database, config=config, worker="test", at_once=True) is not None


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("whole", [_check, _sync])
def test_what_looks_at_all_books_looks_at_each_row_a_few_times(whole: Callable[[Books], None], mode: str, all_books: dict[str, Books]) -> None:
    """The nightly check and the like are linear in the books."""
    books = all_books[mode]
    with books.plans() as plans:
        whole(books)
    assert plans
    found = [fault for plan in plans for fault in faults(plan, MANDATES * USERS, 0)]
    assert not found, "\n".join(found)
