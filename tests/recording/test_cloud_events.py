"""What a CloudEvent is known by: its id, or, where the books are told so before the first event, its source and id."""

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import CloudEventKey
from core.database.database import Database
from core.database.locks import Lock, hold
from core.errors import Conflict, Misconfigured
from core.events.outcome import Outcome
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.recording.set_cloud_event_key import set_cloud_event_key
from tasks.views import VIEWS
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings

__all__ = ["run"]
RECORDED, DUPLICATE, CONFLICT, REJECTED, PARKED = Outcome.RECORDED, Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.REJECTED, Outcome.PARKED
BOTH = CloudEventKey.SOURCE_AND_ID


def cloud_event(source: object = "/gw-1", price: str = "0.001", **changed: Any) -> dict[str, Any]:
    """The event 1 of a source."""
    plain = event(event_id="1", price_chf=price)
    data = {"mandateId": plain["mandate_id"], "userId": plain["user_id"], "priceCHF": price}
    whole = {"specversion": "1.0", "type": "ai.usage", "source": source, "id": "1", "time": plain["occurred_at"], "data": data}
    return {name: value for name, value in (whole | changed).items() if value is not None}


@pytest.fixture
def by_source(owner_database: Database) -> None:
    """The books know a CloudEvent by its source and id."""
    set_cloud_event_key(owner_database, BOTH)


@pytest.mark.usefixtures("by_source")
def test_two_sources_may_use_one_id(record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches) -> None:
    """Each is an event of its own; a copy of either is a duplicate, another payload a conflict with the one of its source."""
    put_settings(users=["ada"])
    one, two = cloud_event("/gw-1"), cloud_event("/gw-2", "0.002")
    assert record(one, two).outcomes == [RECORDED, RECORDED]
    assert record(one, two, cloud_event("/gw-2", "0.003")).outcomes == [DUPLICATE, DUPLICATE, CONFLICT]
    assert rows("SELECT event_id, source, amount FROM transactions WHERE transaction_type = 'DEBIT' ORDER BY id") == [
        {"event_id": "/gw-1 1", "source": "/gw-1", "amount": Decimal("0.001")},
        {"event_id": "/gw-2 1", "source": "/gw-2", "amount": Decimal("0.002")},
    ]  # fmt: skip
    assert rows("SELECT event_id, difference FROM dead_letters") == [
        {"event_id": "/gw-2 1", "difference": {"price_chf": ["0.002000000", "0.003000000"]}}
    ]
    assert breaches() == {}


@pytest.mark.usefixtures("by_source")
def test_an_event_of_a_long_source_can_be_asked_for_and_amended(record: Record, database: Database, rows: Rows, put_settings: PutSettings) -> None:
    """Its id in the books may be longer than a producer's: whoever names it by that one is understood, by message and in a file of prices."""
    put_settings(users=["ada"])
    record(cloud_event("/gw/" + "x" * 252, id="i" * 128))
    (kept,) = rows("SELECT mandate_id, event_id FROM event_keys")
    question, answer = VIEWS["view.explain_event"]
    asked = question.read({**kept, "actor": {"role": "root"}})
    explained: Any = answer(database, asked.actor, **asked.arguments())
    assert explained.transaction.event_id == kept["event_id"]
    price = NewPrice.read({**kept, "price_chf": "0.002"})
    (total,) = amend_prices(database, ROOT, [price], key="list", by="olga", worker="test")
    assert (total.amended, total.after) == (1, Decimal("0.002"))


def test_by_id_alone_the_conflict_names_both_sources(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """The first stays; whoever reads the letter sees that two sources use one id, in a batch and across batches."""
    put_settings(users=["ada"])
    assert record(cloud_event("/gw-1"), cloud_event("/gw-2", "0.002")).outcomes == [RECORDED, CONFLICT]
    assert record(cloud_event("/gw-3", "0.003")).outcomes == [CONFLICT]
    details = [row["detail"] for row in rows("SELECT detail FROM dead_letters ORDER BY id")]
    assert details == [
        f"same event id, other payload: price_chf, source; the first came from '/gw-1', this one from '{source}'" for source in ("/gw-2", "/gw-3")
    ]


def test_by_id_alone_the_same_payload_of_another_source_is_a_copy(record: Record, put_settings: PutSettings) -> None:
    """The source is part of nothing then: an event that another gateway sends again is charged once, as ever."""
    put_settings(users=["ada"])
    same = cloud_event("/gw-1")
    assert record(same, {**same, "source": "/gw-2"}, {**same, "source": 5}).outcomes == [RECORDED, DUPLICATE, DUPLICATE]


@pytest.mark.usefixtures("by_source")
@pytest.mark.parametrize("source", [None, "", "two words", 5, "x" * 257, "/\u0007"])
def test_without_a_usable_source_it_is_rejected(source: object, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """It names what is missing, keeps the ids that could be read, and harms nobody beside it; other events need no source."""
    put_settings(users=["ada"])
    assert record(cloud_event("/gw-1"), cloud_event(source), event()).outcomes == [RECORDED, REJECTED, RECORDED]
    (letter,) = rows("SELECT reason, detail, mandate_id, event_id FROM dead_letters")
    assert letter["detail"].startswith("source is missing, longer than 256 characters or no URI reference")
    assert (letter["reason"], letter["mandate_id"], letter["event_id"]) == ("invalid_field", "acme", "1")


@pytest.mark.usefixtures("by_source")
def test_parked_ones_are_known_by_both_too(record: Record, rows: Rows, release: Callable[..., int], put_mandate: PutMandate) -> None:
    """Parked, compared and released under source and id."""
    assert record(cloud_event("/gw-1"), cloud_event("/gw-2", "0.002")).outcomes == [PARKED, PARKED]
    assert record(cloud_event("/gw-1"), cloud_event("/gw-2", "0.003")).outcomes == [DUPLICATE, CONFLICT]
    assert rows("SELECT difference FROM dead_letters") == [{"difference": {"price_chf": ["0.002000000", "0.003000000"]}}]
    put_mandate(users=["ada"])
    release()
    assert [row["event_id"] for row in rows("SELECT event_id FROM event_keys ORDER BY 1")] == ["/gw-1 1", "/gw-2 1"]
    assert record(cloud_event("/gw-2", "0.002")).outcomes == [DUPLICATE]


@pytest.mark.parametrize("mandate", ["acme", "stranger"])
def test_it_is_fixed_once_an_event_is_known(mandate: str, record: Record, owner_database: Database, put_settings: PutSettings, run: Run) -> None:
    """Recorded or parked: under another key what is sent again would be charged anew. The same again is no change."""
    put_settings(users=["ada"])
    record(event(mandate_id=mandate))
    with pytest.raises(Conflict, match="CloudEvents are known by id since the first event came"):
        set_cloud_event_key(owner_database, BOTH)
    set_cloud_event_key(owner_database, CloudEventKey.ID)
    ended = run("db", "cloud-events", "source_and_id")
    assert (ended.code, ended.err.startswith("error: CloudEvents are known by id")) == (5, True)
    assert run("db", "cloud-events").out == "CloudEvents are known by id\n"


def test_a_worker_can_not_decide_it(database: Database) -> None:
    """It takes the owner's login."""
    with pytest.raises(Misconfigured, match="42501"):
        set_cloud_event_key(database, BOTH)


def test_an_event_on_its_way_waits_for_the_decision(
    record: Record, rows: Rows, owner_database: Database, put_settings: PutSettings, connect: Callable[[], Database]
) -> None:
    """A batch that began before it was committed is recorded under what was decided, never under what was read before."""
    put_settings(users=["ada"])
    outcomes: list[Any] = []
    recorder = threading.Thread(target=lambda: outcomes.extend(record(cloud_event("/gw-1"), database=connect()).outcomes))
    with owner_database.transaction() as connection:
        hold(connection, Lock.CLOUD_EVENT_KEY)
        recorder.start()
        recorder.join(0.5)
        assert recorder.is_alive(), "it waits"
        connection.exec_driver_sql("UPDATE books SET cloud_event_key = 'source_and_id'")
    recorder.join(30)
    assert outcomes == [RECORDED]
    assert [row["event_id"] for row in rows("SELECT event_id FROM event_keys")] == ["/gw-1 1"]
