"""`python -m lab.bench.plans`: how PostgreSQL executes the recorder's statements on large books, as `docs/performance/plans.txt` keeps it.

These are generic plans, as a connection has them that has lived a while: made for any parameters, so that the statements and the sizes of
the tables alone decide. How many rows they look at in fact, `tests/books/test_plans.py` counts.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from sqlalchemy import event

from core.config import Configuration
from core.database.database import Database
from core.events.outcome import Outcome
from core.ledger.opening import KnownAccounts
from core.ledger.sql.batches import begin_batch
from core.recording.record_usage import record_usage
from lab.bench.books import benchmark_services
from lab.bench.crowds import Crowd
from lab.bench.traffic import Member, raw_events
from lab.services import Services

PLANS = Path(__file__).resolve().parents[2] / "docs" / "performance" / "plans.txt"
_EVERYBODY, _NEWCOMERS = Crowd("e", 10_000, 100), Crowd("n", 1_000, 1)
_CHUNK = 1_000_000
_TITLE_LENGTH = 120
_PARAMETER = re.compile(r"%\((\w+)\)s")

_RECORD = """
    WITH recorded AS (
        INSERT INTO transactions (id, mandate_id, event_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                  created_by_user_id, occurred_at, local_date, settings_version, batch_id)
        SELECT nextval('transactions_id_seq'), mandate_id, uuidv7(), id, id, 'DEBIT', 0.001, 'WORKFLOW', 'AI Usage', user_id, now(), now()::date, 1, 0
          FROM accounts ORDER BY random() LIMIT %s
        RETURNING mandate_id, event_id, id, recorded_at
    )
    INSERT INTO event_keys (mandate_id, event_id, payload_hash, hash_version, transaction_id, recorded_at)
    SELECT mandate_id, event_id, sha256(''), 1, id, recorded_at FROM recorded
"""

_PARK = """
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason)
    SELECT 'nobody' || p % 1000, 'parked-' || p, '', 1, '{}', false, 'bench', 'unknown_mandate' FROM generate_series(1, 100000) p
"""


def recording_plans(database: Database, config: Configuration, met: Sequence[Member], new: Sequence[Member]) -> str:
    """The plans of all that recording runs, each once, as text without costs: of usage, of copies of it, and of new members.

    The books have recorded these events afterwards.

    Args:
        database: by the worker's login.
        config: of recording.
        met: members who have accounts.
        new: members of the directory who have none.
    """
    known, once = KnownAccounts(), raw_events(len(met), members=iter(met))
    scenes = (
        ("Usage", once, Outcome.RECORDED),
        ("The same events once more", once, Outcome.DUPLICATE),
        ("First usage of new members", raw_events(len(new), members=iter(new)), Outcome.RECORDED),
    )
    parts, explained = [], set()
    for title, events, outcome in scenes:
        with _listening(database) as statements:
            assert {*record_usage(database, events, config=config, known_accounts=known, worker="bench").outcomes} == {outcome}
        fresh = [one for one in dict.fromkeys(statements) if one not in explained]
        explained |= {*fresh}
        plans = [f"{_title(one)}\n{textwrap.indent(plan, '    ')}\n" for one in fresh if (plan := _plan(database, one))]
        parts += [f"== {title} ==\n", *plans] if plans else []
    return "\n".join(parts)


def plans_of_large_books(services: Services, rows: int, say: Callable[[str], None]) -> str:
    """`recording_plans` on empty books, after they got a million accounts of 10,000 mandates, so many entries and 100,000 parked events."""
    config = Configuration(database_url=services.database_url)
    _EVERYBODY.make(services.database_owner_url)
    _NEWCOMERS.make(services.database_owner_url, with_accounts=False)
    with psycopg.connect(services.database_owner_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as owner:
        for done in range(0, rows, _CHUNK):
            owner.execute(_RECORD, [min(_CHUNK, rows - done)])
            say(f"{min(done + _CHUNK, rows):,} of {rows:,} entries")
        owner.execute(_PARK)
        owner.execute("VACUUM ANALYZE")
    database = Database(config.require_database_url(), config)
    try:
        members = _EVERYBODY.each_once()
        return recording_plans(database, config, [next(members) for _ in range(1_000)], [*_NEWCOMERS.each_once()])
    finally:
        database.dispose()


@contextmanager
def _listening(database: Database) -> Iterator[list[str]]:
    """The statements that the database is sent meanwhile."""
    found: list[str] = []

    def heard(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(database._engine, "before_cursor_execute", heard)  # noqa: SLF001 - a benchmark looks inside
    try:
        yield found
    finally:
        event.remove(database._engine, "before_cursor_execute", heard)  # noqa: SLF001 - as above


def _plan(database: Database, statement: str) -> str:
    """The generic plan; nothing of statements that look at nothing."""
    numbers: dict[str, int] = {}
    numbered = _PARAMETER.sub(lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", statement)
    with database.transaction() as connection:
        begin_batch(connection, by_keys_alone=True)
        lines = connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN, COSTS OFF) {numbered}").scalars().all()
    return "" if lines == ["Result"] else "\n".join(lines)


def _title(statement: str) -> str:
    return textwrap.shorten(" ".join(statement.split()), _TITLE_LENGTH, placeholder=" …")


def main() -> int:
    """Makes the books, prints the plans, and returns 0."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench.plans", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="entries in the books (default 2,000,000)")
    rows = parser.parse_args().rows
    with benchmark_services() as own:
        print(plans_of_large_books(own, rows, Console(stderr=True).print), end="")  # noqa: T201 - the result
    return 0


if __name__ == "__main__":
    sys.exit(main())
