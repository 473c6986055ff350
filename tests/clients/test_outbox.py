"""The outbox: events in the caller's own transaction, whatever it connects with."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from tollbook_client.outbox import add, ddl

from tests.clients.conftest import CallersDatabase, sent_events
from tests.delivery.brokers import Broker
from tests.delivery.conftest import ROOT
from tests.sample_events import event

Write = Callable[[CallersDatabase, dict[str, Any], bool], None]


def by_driver(caller: CallersDatabase, fields: dict[str, Any], commit: bool) -> None:
    """By psycopg, or sqlite3."""
    with closing(caller.connect()) as connection:
        add(connection, fields)
        (connection.commit if commit else connection.rollback)()


def engine_url(caller: CallersDatabase) -> str:
    """The database's URL, as SQLAlchemy takes it."""
    return caller.url.replace("postgresql://", "postgresql+psycopg://")


def by_connection(caller: CallersDatabase, fields: dict[str, Any], commit: bool) -> None:
    """By a connection of SQLAlchemy."""
    engine = create_engine(engine_url(caller))
    with engine.connect() as connection:
        add(connection, fields)
        (connection.commit if commit else connection.rollback)()
    engine.dispose()


def by_session(caller: CallersDatabase, fields: dict[str, Any], commit: bool) -> None:
    """By a session of SQLAlchemy."""
    engine = create_engine(engine_url(caller))
    with Session(engine) as session:
        add(session, fields)
        (session.commit if commit else session.rollback)()
    engine.dispose()


@pytest.mark.parametrize("write", [by_driver, by_connection, by_session])
def test_an_event_is_there_if_the_callers_transaction_is(caller: CallersDatabase, write: Write) -> None:
    """Whatever the caller connects with, what it commits is in the outbox, and what it rolls back is not."""
    kept, lost = event(), event()
    write(caller, kept, True)
    write(caller, lost, False)
    assert caller.waiting() == [kept]


def test_an_id_and_the_time_are_made_and_values_written_as_they_are(sqlite_caller: CallersDatabase) -> None:
    """What is missing is made once, at `add`; decimals, moments and UUIDs become the text of the contract."""
    own = UUID("0199c0de-7a11-7000-8000-000000000001")
    with closing(sqlite_caller.connect()) as connection:
        made = add(connection, event(event_id=..., occurred_at=...))
        given = add(connection, event(event_id=own, price_chf=Decimal("0.1"), occurred_at=datetime(2026, 1, 31, tzinfo=UTC)))
        connection.commit()
    first, second = sqlite_caller.waiting()
    assert (first["event_id"], UUID(made).version, given) == (made, 7, str(own))
    assert datetime.fromisoformat(first["occurred_at"]).tzinfo is not None
    assert (second["event_id"], second["price_chf"], second["occurred_at"]) == (str(own), "0.1", "2026-01-31T00:00:00+00:00")


@pytest.mark.parametrize(
    "fields",
    [
        {"mandate_id": ...},
        {"price_chf": float("nan")},
        {"occurred_at": datetime(2026, 1, 31)},  # noqa: DTZ001 - that is the point
        {"description": "x" * 800_000},
        {"user_id": object()},
        {"user_id": "\ud800"},
    ],
)
def test_what_would_be_refused_leaves_the_transaction_as_it_is(postgres_caller: CallersDatabase, fields: dict[str, Any]) -> None:
    """An event that can't be sent is an error at `add`, before the database is asked: the caller's transaction can still be committed."""
    with psycopg.connect(postgres_caller.url) as connection:
        with pytest.raises((ValueError, TypeError)):
            add(connection, event(**fields))
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    assert postgres_caller.waiting() == []


def test_the_statements_are_printed(caller: CallersDatabase) -> None:
    """`python -m tollbook_client.outbox ddl` prints what makes the table; to run it again changes nothing."""
    command = [sys.executable, "-m", "tollbook_client.outbox", "ddl", "--dialect", caller.kind]
    printed = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True).stdout
    assert printed == ddl(caller.kind)
    with closing(caller.connect()) as connection:
        add(connection, event(event_id="kept"))
        connection.commit()
    for statement in printed.split(";")[:-1]:
        caller.rows(statement)
    assert [json.loads(body)["event_id"] for (body,) in caller.rows("SELECT body FROM tollbook_outbox")] == ["kept"]


def test_the_documents_example_works(postgres_caller: CallersDatabase, broker: Broker, environment: dict[str, str]) -> None:
    """The README's program commits its event, `--once` sends it, and the README's questions are answered."""
    section = (ROOT / "clients/python/README.md").read_text(encoding="utf-8").partition("\n## The outbox\n")[2].partition("\n## ")[0]
    (program,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    (statements,) = re.findall(r"^```sql\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    variables = environment | {"OUTBOX_DATABASE_URL": postgres_caller.url}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=variables, check=True)
    subprocess.run([sys.executable, "-m", "tollbook_client.relay", "--once"], cwd=ROOT, env=variables, check=True)
    assert [(event["event_id"],) for event in sent_events(broker)] == postgres_caller.rows("SELECT id FROM answers")
    for statement in re.sub("--.*", "", statements).split(";")[:-1]:
        postgres_caller.rows(statement)
    assert not postgres_caller.waiting()
