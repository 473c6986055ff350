"""What an operator has done to real books, for judges to look at: once for all tests."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from core.config import Configuration
from core.database.database import Database
from core.ledger.opening import KnownAccounts
from core.recording.record_usage import record_usage
from lab.oracle.torture_operator import EXPECTED, exercised
from lab.postgres import PostgresServer
from lab.torture.lines import read_lines
from lab.torture.operator import Operator, open_world
from lab.torture.operator_first import first_books, last_books
from lab.torture.operator_journal import OperatorJournal
from lab.torture.operator_plan import Plan, mandates_of
from lab.torture.operator_tables import read_tables
from tests.conftest import TEMPLATE, IsolatedConfiguration, own_database
from tests.sample_events import raw
from tests.torture.usage import Usage

STEPS_MAX = 2_000
BESIDE = frozenset({"revert done", "settle parked done", "discard done", "amend repeated", "refund done", "switch done"})

_RICH = text("""
    SELECT EXISTS (SELECT FROM transactions WHERE reference_type = 'SWITCH')
       AND EXISTS (SELECT FROM transactions WHERE reference_type = 'SYSTEM')
       AND EXISTS (SELECT FROM transactions WHERE reference_type = 'WORKFLOW' AND price_computed <> amount)
       AND EXISTS (SELECT FROM transactions WHERE reference_type = 'WORKFLOW' AND price_computed IS NULL AND provider_cost > 0)
       AND EXISTS (SELECT FROM transactions WHERE reference_type = 'WORKFLOW' AND settings_version > 2 AND balance_account_id IS NOT NULL)
       AND EXISTS (SELECT FROM amendments WHERE operation = 'amend_prices')
       AND EXISTS (SELECT FROM amendments WHERE operation = 'revert_rerate')
       AND EXISTS (SELECT FROM amendments WHERE operation = 'rerate' AND number = 1)
       AND EXISTS (SELECT FROM holds WHERE state = 'RELEASED')
       AND EXISTS (SELECT FROM caps JOIN cap_counters ON cap_id = id WHERE removed_at IS NULL AND spent > 0)
""")


@dataclass(frozen=True)
class Run:
    """What is left of a run: the journal's lines, and rows by table."""

    journal: list[dict[str, Any]]
    tables: dict[str, list[dict[str, Any]]]

    def copy(self) -> "Run":
        """One that may be tampered with."""
        return copy.deepcopy(self)


@pytest.fixture(scope="session")
def operated(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Books on which an operator has done each of its kinds of operations while usage was recorded; never change it."""
    folder = tmp_path_factory.mktemp("operated")
    with own_database(postgres, TEMPLATE) as urls:
        plan = Plan(urls.worker, str(folder), seed=3, mandates=mandates_of(), seconds=0, pause=0, heavy=0)
        config = IsolatedConfiguration(database_url=urls.worker)
        database = Database(urls.worker, config)
        first_books(plan)
        work(plan, database, config)
        last_books(plan)
        yield Run(lines_of(plan), tables_of(urls.owner, config))
        database.dispose()


def work(plan: Plan, database: Database, config: IsolatedConfiguration) -> None:
    """Steps of an operator with usage between them, until each kind was done."""
    usage, known, chance = Usage(plan, Random(plan.seed)), KnownAccounts(), Random(1)
    with OperatorJournal(plan.journal) as journal:
        journal.live()
        world = open_world(plan, journal)
        operator = Operator(world)
        for step in range(STEPS_MAX):
            if step % 10 == 0 and exercised(lines_of(plan)).keys() >= EXPECTED | BESIDE and _is_rich(world.database):
                break
            if chance.randrange(3) == 0:
                events = [raw(event) for event in usage.batch()]
                record_usage(database, events, config=config, known_accounts=known, worker="test")
            operator.step()
        world.database.dispose()


def _is_rich(database: Database) -> bool:
    """Whether there is something of everything that can be tampered with."""
    with database.snapshot() as connection:
        return bool(connection.execute(_RICH).scalar_one())


def tables_of(owner_url: str, config: Configuration) -> dict[str, list[dict[str, Any]]]:
    """The rows that the judges take."""
    owner = Database(owner_url, config)
    with owner.snapshot() as connection:
        tables = read_tables(connection)
    owner.dispose()
    return {table: [dict(row) for row in rows] for table, rows in tables.items()}


def lines_of(plan: Plan) -> list[dict[str, Any]]:
    """The journal of a plan."""
    return list(read_lines(plan.journal))
