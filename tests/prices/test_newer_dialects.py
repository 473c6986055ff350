"""Dialects that move: what an older one could not read is judged anew by a worker that knows more, and by no older one beside it."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from core.config import Configuration
from core.database.database import Database
from core.dialects.all import DIALECTS, DIALECTS_REVISION
from core.dialects.model import Call, Reading, UsageDialect
from core.events.outcome import BatchResult, Outcome
from core.prices import load
from core.recording import release_parked
from tests.conftest import Record, Rows
from tests.prices.test_priced_events import DEBITS, PRICE, acme, books_are_right, priced, sent

__all__ = ["acme", "books_are_right", "priced"]

RESPONSES = UsageDialect.OPENAI_RESPONSES
TOTAL_WITHOUT_OUTPUT = {"input_tokens": 328, "output_tokens": 52, "total_tokens": 328}  # what version 1 of the dialect takes for a contradiction
STATE = "SELECT revision, dialects_revision FROM price_state"


@pytest.fixture
def released(database: Database, config: Configuration) -> Callable[[], BatchResult]:
    """What the scheduled release does."""
    return lambda: release_parked.release_all_parked(database, config=config, worker="test")


@pytest.fixture
def learn(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on this program has a newer dialect, which reads that object."""
    old = DIALECTS[RESPONSES]

    def read(usage: Mapping[str, Any], call: Call) -> Reading:
        return old.read({**usage, "total_tokens": 380}, call)

    def now() -> None:
        monkeypatch.setitem(DIALECTS, RESPONSES, old._replace(version=old.version + 1, read=read))
        for module in (load, release_parked):
            monkeypatch.setattr(module, "DIALECTS_REVISION", DIALECTS_REVISION + 1)

    return now


def test_what_newer_dialects_read_is_released(
    priced: Callable[..., None], record: Record, released: Callable[[], BatchResult], learn: Callable[[], None], rows: Rows
) -> None:
    """The first release of a program with a newer dialect judges what is parked anew, though no price has moved."""
    priced()
    assert record(sent(usage=TOTAL_WITHOUT_OUTPUT)).outcomes == [Outcome.PARKED]
    assert released().outcomes == []
    assert [one["reason"] for one in rows("SELECT reason FROM parked_events")] == ["usage_contradiction"]
    (before,) = rows(STATE)
    assert released().outcomes == []
    assert rows(STATE) == [before]  # it asks once
    learn()
    assert released().outcomes == [Outcome.RECORDED]
    assert [(one["amount"], one["leaves"]) for one in rows(DEBITS)] == [(PRICE, "input=328,output=52")]
    assert rows(STATE) == [{"revision": before["revision"] + 1, "dialects_revision": DIALECTS_REVISION + 1}]


def test_what_an_older_worker_parks_the_newer_one_takes_up(
    priced: Callable[..., None], record: Record, released: Callable[[], BatchResult], learn: Callable[[], None], rows: Rows
) -> None:
    """Both in one rolling update: the older one lowers nothing, and what it can't read waits for the newer one alone, not for a price."""
    priced()
    newer = DIALECTS_REVISION + 1
    rows("UPDATE price_state SET dialects_revision = :newer, revision = revision + 1, token = gen_random_uuid()", newer=newer)
    (state,) = rows(STATE)
    assert record(sent(usage=TOTAL_WITHOUT_OUTPUT), sent()).outcomes == [Outcome.PARKED, Outcome.RECORDED]
    assert released().outcomes == []
    assert rows(STATE) == [state]
    learn()
    rows("UPDATE price_state SET token = gen_random_uuid()")  # the newer worker is another process, which has kept nothing
    assert released().outcomes == [Outcome.RECORDED]
    assert rows("SELECT revision FROM price_state") == [{"revision": state["revision"]}]
    assert {one["amount"] for one in rows(DEBITS)} == {PRICE}
