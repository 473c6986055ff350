"""Settling what can't be priced: recorded at an operator's price, once, by the rules of every release."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from core.asking.rights import ROOT, user
from core.config import Configuration
from core.database.database import Database
from core.errors import Conflict, Forbidden, NotFound, RequestRefused
from core.events.outcome import Outcome
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.recording.settle_parked import SettledEvent, Settlement, settle_parked
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.movements.rerating import SINCE, broken, usage
from tests.sample_events import OCCURRED_AT, event
from tests.scene import Breaches, PutSettings

Settle = Callable[..., SettledEvent]
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]


@pytest.fixture
def parked(database: Database, put_settings: PutSettings, record: Record) -> dict[str, object]:
    """An event without usage of a mandate that pays computed prices; it is parked."""
    put_settings("acme", users=["ada"])
    set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=SINCE)
    lost = usage(event_id="lost", usage_dialect=..., usage=..., usage_basis="none", outcome="timed_out")
    assert record(lost).outcomes == [Outcome.PARKED]
    return lost


@pytest.fixture
def settle(database: Database, config: Configuration) -> Settle:
    """Settles it, as olga."""

    def call(price: str = "0.25", reason: str = "as the provider billed it", *, database: Database = database, **fields: Any) -> SettledEvent:
        told = {"mandate_id": "acme", "event_id": "lost", "price_chf": price, "reason": reason, "by": "olga", **fields}
        return settle_parked(database, ROOT, Settlement.read(told), config=config, worker="test")

    return call


def test_a_parked_event_is_recorded_at_the_price_that_is_said(
    parked: dict[str, object], settle: Settle, record: Record, rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """Its debit has a stamp of kind OPERATOR; the key tells why and by whom; a copy that comes later is a duplicate."""
    found = settle()
    (debit,) = rows("SELECT t.id, t.amount, t.event_id, t.price_given, s.kind FROM transactions t JOIN stamps s ON s.id = t.stamp_id")
    assert debit == {"id": found.transaction_id, "amount": Decimal("0.25"), "event_id": "lost", "price_given": None, "kind": "operator"}
    assert (found.amount, found.parked_for, found.by, found.repeated) == (Decimal("0.25"), "no_usage", "olga", False)
    assert balances()["acme", "ada"] == Decimal("9.75")
    assert rows("SELECT * FROM parked_events") == []
    (key,) = rows("SELECT result FROM operation_keys WHERE operation = 'settle_parked' AND idempotency_key = 'lost'")
    assert (key["result"]["reason"], key["result"]["by"]) == ("as the provider billed it", "olga")
    (batch,) = rows("SELECT recorded, released FROM batches WHERE kind = 'release'")
    assert batch == {"recorded": 1, "released": 1}
    assert record(parked).outcomes == [Outcome.DUPLICATE]
    assert broken(breaches) == set()


def test_a_replay_gives_the_first_result(parked: dict[str, object], settle: Settle, rows: Rows) -> None:
    """The same again changes nothing; another price, or another reason, is a conflict."""
    assert parked
    first = settle()
    again = settle(by="otto")
    assert (again.transaction_id, again.by, again.repeated) == (first.transaction_id, "olga", True)
    for other in ({"price": "0.3"}, {"reason": "other"}):
        with pytest.raises(Conflict, match="'lost' was used for another settle_parked"):
            settle(**other)
    assert len(rows("SELECT 1 FROM transactions WHERE transaction_type = 'DEBIT'")) == 1


def test_several_at_once_record_it_once(
    parked: dict[str, object], settle: Settle, connect: Callable[[], Database], balances: Balances, breaches: Breaches
) -> None:
    """All get the one debit."""
    assert parked
    found = at_once(*[partial(settle, database=connect()) for _ in range(4)])
    assert len({one.transaction_id for one in found}) == 1
    assert sorted(one.repeated for one in found) == [False, True, True, True]
    assert balances()["acme", "ada"] == Decimal("9.75")
    assert broken(breaches) == set()


def test_an_alert_is_written_as_for_any_usage(parked: dict[str, object], settle: Settle, rows: Rows) -> None:
    """A price that takes the balance below its lines crosses them."""
    assert parked
    settle("10.5")
    assert {one["kind"] for one in rows("SELECT kind FROM balance_alerts")} == {"WARNING", "ZERO"}


def test_what_is_not_waiting_for_a_price_is_refused(
    database: Database, parked: dict[str, object], settle: Settle, record: Record, config: Configuration, rows: Rows
) -> None:
    """No such event, one that is recorded, one that waits for its mandate; who isn't root; what isn't a price."""
    assert parked
    later = (OCCURRED_AT + timedelta(seconds=1)).isoformat()
    record(event(event_id="strange", mandate_id="unknown", occurred_at=later))
    set_mode(database, ROOT, "acme", Mode.GIVEN, created_by="olga", since=OCCURRED_AT + timedelta(seconds=1))
    record(event(event_id="plain", occurred_at=later))
    with pytest.raises(NotFound, match="event 'nothing' of mandate 'acme' is not parked"):
        settle(event_id="nothing")
    with pytest.raises(Conflict, match="event 'plain' of mandate 'acme' is recorded already"):
        settle(event_id="plain")
    with pytest.raises(RequestRefused, match="waits for its mandate"):
        settle(event_id="strange", mandate_id="unknown")
    with pytest.raises(RequestRefused, match="price_chf"):
        settle("-1")
    asked = Settlement.read({"mandate_id": "acme", "event_id": "lost", "price_chf": "1", "reason": "r", "by": "ada"})
    with pytest.raises(Forbidden):
        settle_parked(database, user("ada"), asked, config=config, worker="test")
    assert len(rows("SELECT 1 FROM operation_keys WHERE operation = 'settle_parked'")) == 0
