"""Who parks for want of a price, who releases, and who changes prices meanwhile: nobody waits in a circle, nothing is parked and recorded."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event as sql_event

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.dead_letters.accept_conflict import accept_conflict
from core.errors import StorageUnavailable
from core.events.outcome import BatchResult, Outcome
from core.ledger.opening import KnownAccounts
from core.movements.reach import count_again, count_reach
from core.movements.rerate import rerate
from core.movements.rerating import Rerating
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.recording.release_parked import release_parked
from tests.conftest import Record, Rows
from tests.movements.rerating import SINCE, TODAY, set_terms, usage
from tests.prices.scene import accepted, row
from tests.scene import Breaches, PutSettings

RECORDED, DUPLICATE, CONFLICT, PARKED = (Outcome(name) for name in ("recorded", "duplicate", "conflict", "parked"))
BOOK = [row(), row(leaf="output", amount="15")]


class Stop:
    """Stops a database's next session before the first statement that has `words`, or before its commit (None), until it is let go."""

    def __init__(self, database: Database, words: str | None) -> None:
        self.reached, self.go, self._used = threading.Event(), threading.Event(), False
        engine = database._engine
        if words is None:
            sql_event.listen(engine, "commit", lambda _: self._stop())
        else:
            sql_event.listen(engine, "before_cursor_execute", lambda _, __, statement, *___: self._stop() if words in statement else None)

    def _stop(self) -> None:
        if not self._used:
            self._used = True
            self.reached.set()
            assert self.go.wait(60)


class Beside:
    """A call in a thread of its own; its result, or what it raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._done: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._done.append(self._called(call)), daemon=True)
        self._thread.start()

    @staticmethod
    def _called(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except BaseException as error:  # noqa: BLE001 - told to the test
            return error

    def result(self) -> Any:
        """Waits for it."""
        self._thread.join(60)
        assert self._done, "it still waits"
        return self._done[0]


@pytest.fixture
def computed(database: Database, put_settings: PutSettings) -> Callable[..., None]:
    """Lets mandates be billed computed prices."""
    set_terms(database)

    def call(*mandate_ids: str) -> None:
        for mandate_id in mandate_ids:
            put_settings(mandate_id, users=["ada", "bob"])
            set_mode(database, ROOT, mandate_id, Mode.COMPUTED, created_by="olga", since=SINCE)

    return call


def test_a_release_and_a_recorder_dont_wait_for_each_other(
    computed: Callable[..., None], connect: Callable[[], Database], database: Database, record: Record, config: Configuration, breaches: Breaches
) -> None:
    """A release that records one mandate's event and puts another's back holds the counts of both before a recorder parks for them."""
    accepted(database, BOOK)
    told = [usage(event_id=f"{mandate}1", mandate_id=mandate, model=model) for mandate, model in (("acme", "nope"), ("bolt", "gpt"))]
    assert record(*told).outcomes == [PARKED, PARKED]  # nobody knows them yet
    computed("acme", "bolt")
    releasing = connect()
    stop = Stop(releasing, "INSERT INTO parked_events")
    release = Beside(lambda: release_parked(releasing, config=config, known_accounts=KnownAccounts(), worker="release").outcomes)
    assert stop.reached.wait(60)
    more = [usage(event_id=f"{mandate}2", mandate_id=mandate, model="nope") for mandate in ("acme", "bolt")]
    recorder = Beside(lambda: record(*more, known_accounts=KnownAccounts()).outcomes)
    stop.go.set()
    assert release.result() == [RECORDED]
    assert recorder.result() == [PARKED, PARKED]
    assert not breaches()


def test_an_event_that_was_recorded_beside_its_parking_is_no_more_parked(
    computed: Callable[..., None],
    connect: Callable[[], Database],
    database: Database,
    record: Record,
    rows: Rows,
    release: Callable[..., BatchResult],
    breaches: Breaches,
) -> None:
    """Two copies around an acceptance: one transaction parks without seeing the price, one records; a release makes the parked one a duplicate."""
    computed("acme")
    record(usage(event_id="first", price_chf=...))
    parking = connect()
    stop = Stop(parking, None)
    copy = usage(event_id="k")
    parked = Beside(lambda: record(copy, database=parking, known_accounts=KnownAccounts()).outcomes)
    assert stop.reached.wait(60)
    accepted(database, BOOK)
    assert record(copy).outcomes == [RECORDED]
    stop.go.set()
    assert parked.result() == [PARKED]
    assert sorted(release().outcomes) == [DUPLICATE, RECORDED]
    assert rows("SELECT event_id FROM parked_events") == []
    assert not breaches()


def test_a_program_that_knows_no_prices_takes_nothing_that_waits_for_one(
    computed: Callable[..., None], database: Database, record: Record, rows: Rows
) -> None:
    """A worker of the release before would bill it otherwise, or refuse it: its transaction fails, and is tried again."""
    computed("acme")
    assert record(usage(event_id="k")).outcomes == [PARKED]
    with pytest.raises(StorageUnavailable, match="waits for a price, which this program does not know of"):
        rows("DELETE FROM parked_events")
    assert len(rows("SELECT FROM parked_events")) == 1


def test_a_copy_without_the_price_contradicts_the_one_before_it(record: Record, put_settings: PutSettings) -> None:
    """In one batch as in two: what is accepted first decides, then modes."""
    put_settings("acme", users=["ada"])
    priced = usage(event_id="k", price_chf="1")
    without = usage(event_id="k")
    assert record(priced, without).outcomes == [RECORDED, CONFLICT]
    assert record(without).outcomes == [CONFLICT]


def test_accepting_a_conflict_and_a_recorder_dont_wait_for_each_other(
    connect: Callable[[], Database], database: Database, record: Record, rows: Rows, put_settings: PutSettings, config: Configuration
) -> None:
    """Both bring what a usage object looks like for the first time: it comes before the balances for each."""
    put_settings("acme", users=["ada"])
    record(usage(event_id="k", price_chf="1"))
    other = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100, "seen_never": 0}
    assert record(usage(event_id="k", price_chf="2", usage=other)).outcomes == [CONFLICT]
    (letter,) = rows("SELECT id FROM dead_letters")
    recording = connect()
    stop = Stop(recording, "UPDATE accounts")
    recorder = Beside(lambda: record(usage(event_id="n", price_chf="1", usage=other), database=recording, known_accounts=KnownAccounts()).outcomes)
    assert stop.reached.wait(60)
    operator = Beside(lambda: accept_conflict(database, ROOT, letter["id"], by="olga", config=config, worker="test").price_after)
    stop.go.set()
    assert recorder.result() == [RECORDED]
    assert operator.result() == 2


def test_what_was_being_recorded_at_an_acceptance_is_found_afterwards(
    computed: Callable[..., None], connect: Callable[[], Database], database: Database, record: Record
) -> None:
    """It is rated by the version before, and commits after everything that the new one changes was counted: the nightly check counts again."""
    accepted(database, BOOK)
    computed("acme")
    record(usage(event_id="early"))
    recording = connect()
    stop = Stop(recording, None)
    late = Beside(lambda: record(usage(event_id="late", user_id="bob"), database=recording, known_accounts=KnownAccounts()).outcomes)
    assert stop.reached.wait(60)
    version = accepted(database, [row(amount="10")])
    assert count_reach(database, ROOT, version).events == 1
    rerate(database, ROOT, Rerating("k", version, TODAY, TODAY), by="olga", worker="test")
    stop.go.set()
    assert late.result() == [RECORDED]
    counted = count_again(database, ROOT)
    assert counted is not None
    assert counted.events == 1
