"""Caps refuse holds, and count what holds keep until it is settled."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.checks.model import Refusal
from core.config import Configuration
from core.database.database import Database
from core.holds.authorise import authorise_all
from tests.books.threads import at_once
from tests.caps.scene import SetCap, counted, put_cap
from tests.conftest import Record, Rows
from tests.holds.asking import Holds, question, told
from tests.holds.scene import NOON
from tests.prices.scene import accepted, row
from tests.sample_events import event
from tests.scene import PutAccount, PutSettings

__all__ = ["counted", "put_cap"]

Counts = Callable[[], dict[Any, Any]]
FULL = Refusal.CAP_EXCEEDED
DAY = NOON.date()


@pytest.fixture
def holds(database: Database, config: Configuration, put_settings: PutSettings, put_account: PutAccount) -> Holds:
    """What is asked of holds; nobody's balance bounds ada or bob."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada", "bob"], block_on_zero_balance=False)
    put_account("ada")
    put_account("bob")
    return Holds(database, config)


def test_a_cap_refuses_once_it_is_reached(holds: Holds, put_cap: SetCap, counted: Counts) -> None:
    """What is asked isn't added: 3 and 3 of 5 are granted, and then nothing, which tells the cap and when it opens."""
    cap = put_cap("5", clock=NOON).cap
    assert holds.authorise("a", "3", at=NOON).allowed
    assert holds.authorise("b", "3", at=NOON, user_id="bob").allowed
    refused = holds.authorise("c", "0", at=NOON)
    assert told(refused, "allowed reason state expires_at") == (False, FULL, None, None)
    assert refused.cap is not None
    assert told(refused.cap, "spent held window_start opens_at") == (0, 6, DAY, datetime(2026, 3, 2, tzinfo=UTC))
    assert refused.cap.cap.id == cap.id
    assert counted() == {(cap.id, "", DAY): (0, 6)}
    assert holds.authorise("d", "1", at=NOON + timedelta(hours=12)).allowed


def test_a_hold_counts_until_it_is_settled(holds: Holds, put_cap: SetCap, counted: Counts) -> None:
    """By its release, by the clock, by the sweep: then the cap is open."""
    cap = put_cap("5", clock=NOON).cap
    later = NOON + timedelta(minutes=15)
    holds.authorise("a", "5", at=NOON)
    assert holds.authorise("b", "1", at=NOON).reason is FULL
    holds.release("a", at=NOON)
    assert counted()[cap.id, "", DAY] == (0, 0)
    holds.authorise("b", "5", at=NOON)
    assert holds.authorise("c", "1", at=NOON).reason is FULL
    assert holds.authorise("c", "1", at=later).allowed
    assert counted()[cap.id, "", DAY] == (0, 6)
    assert holds.expire(at=later) == 1
    assert counted()[cap.id, "", DAY] == (0, 1)


def test_usage_moves_what_was_held_to_what_is_spent(holds: Holds, put_cap: SetCap, counted: Counts, record: Record) -> None:
    """2 of 5 were used: 2 are spent, nothing is held; a second hold of one user's cap is its own."""
    put_cap("5", period="TOTAL", scope="EACH_USER")
    holds.authorise("a", "5")
    record(event(hold_key="a", price_chf="2"))
    assert [(user_id, counts) for (_, user_id, _), counts in counted().items()] == [("ada", (2, 0))]
    assert holds.authorise("b", "5", user_id="bob").allowed
    assert {user_id: counts for (_, user_id, _), counts in counted().items()} == {"ada": (2, 0), "bob": (0, 5)}


def test_caps_on_what_is_not_named_are_told(holds: Holds, put_cap: SetCap) -> None:
    """A cap on a model judges who names it, and is listed to who doesn't."""
    cap = put_cap("0", dimension="model", value="gpt", clock=NOON).cap
    assert told(holds.authorise("a", "1", at=NOON), "allowed unjudged_caps") == (True, (cap.id,))
    assert told(holds.authorise("b", "1", at=NOON, model="other"), "allowed unjudged_caps") == (True, ())
    assert told(holds.authorise("c", "1", at=NOON, model="gpt"), "reason unjudged_caps") == (FULL, ())


def test_a_model_that_is_free_is_not_refused(holds: Holds, put_cap: SetCap, database: Database) -> None:
    """Where all of its rows are of 0."""
    put_cap("0")
    accepted(database, [row(amount="0"), row(model="dear")])
    assert holds.authorise("a", "0", provider="openai", model="gpt").allowed
    assert holds.authorise("b", "0", provider="openai", model="dear").reason is FULL
    assert holds.authorise("c", "0").reason is FULL


def test_several_questions_at_once_count_in_their_order(holds: Holds, put_cap: SetCap, counted: Counts) -> None:
    """The first reaches the cap, the second is refused."""
    cap = put_cap("5", clock=NOON).cap
    answers = authorise_all(
        holds.database, ROOT, [question("b", "5"), question("a", "1")], config=holds.config, known_accounts=holds.known, clock=NOON
    )
    assert [told(answer, "reason") for answer in answers] == [(None,), (FULL,)]
    assert counted() == {(cap.id, "", DAY): (0, 5)}


def test_threads_together_do_not_pass_a_cap(holds: Holds, put_cap: SetCap, counted: Counts, rows: Rows) -> None:
    """Of 16 who ask for 1 at the same moment under a cap of 5, whoever pays, 5 are granted."""
    put_cap("5", period="TOTAL")
    ask = [lambda n=n: holds.authorise(f"k{n}", "1", user_id=f"u{n}").allowed for n in range(16)]
    assert sum(at_once(*ask)) == 5
    assert list(counted().values()) == [(0, Decimal(5))]
    assert len(rows("SELECT * FROM holds")) == 5
