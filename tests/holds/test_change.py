"""Holds are renewed, released and ended by the clock, each at most once."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.billing import BillingModel, HoldState
from core.config import Configuration
from core.database.database import Database
from core.errors import NotFound
from core.holds.expire import HOLDS_MAX
from core.metrics import HOLDS_EXPIRED
from tests.conftest import Record, Rows
from tests.holds.asking import Holds, broken, told
from tests.holds.scene import NOON
from tests.sample_events import event
from tests.scene import Breaches, PutAccount, PutSettings

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
OVER = NOON + 15 * MINUTE


@pytest.fixture
def holds(database: Database, config: Configuration, put_settings: PutSettings, put_account: PutAccount) -> Holds:
    """What is asked of holds; ada pays for herself, with CHF 10."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada", "bob"])
    put_account("ada", "10")
    return Holds(database, config)


def held(rows: Rows) -> Any:
    """What is held of ada's balance."""
    return rows("SELECT held FROM accounts WHERE user_id = 'ada'")[0]["held"]


def test_a_release_gives_all_of_it_back_once(holds: Holds, rows: Rows, breaches: Breaches) -> None:
    """A second one changes nothing, and says so."""
    holds.authorise("a", "6", at=NOON)
    done = holds.release("a", at=NOON)
    assert told(done, "done state released remaining") == (True, HoldState.RELEASED, 6, 0)
    again = holds.release("a", at=NOON)
    assert told(again, "done state released") == (False, HoldState.RELEASED, 6)
    assert held(rows) == 0
    assert rows("SELECT settled_at FROM holds") == [{"settled_at": NOON}]
    assert broken(breaches) == []


def test_a_release_leaves_what_was_captured(holds: Holds, rows: Rows, record: Record, breaches: Breaches) -> None:
    """2 of 6 were used so far: 4 are given back."""
    holds.authorise("a", "6")
    record(event(hold_key="a", price_chf="2", hold_final=False))
    done = holds.release("a")
    assert told(done, "captured released state") == (2, 4, HoldState.RELEASED)
    assert rows("SELECT balance, held FROM accounts") == [{"balance": 8, "held": 0}]
    assert broken(breaches) == []


def test_a_captured_hold_is_not_released(holds: Holds, record: Record) -> None:
    """It is told."""
    holds.authorise("a", "6")
    record(event(hold_key="a", price_chf="2"))
    done = holds.release("a")
    assert told(done, "done state captured released") == (False, HoldState.CAPTURED, 2, 4)


@pytest.mark.parametrize("swept", [False, True])
def test_a_hold_that_is_over_is_neither_released_nor_renewed(holds: Holds, rows: Rows, swept: bool) -> None:
    """By the clock alone, as after the sweep: the answer is the same."""
    holds.authorise("a", "6", at=NOON)
    if swept:
        holds.expire(at=OVER)
    for done in (holds.release("a", at=OVER), holds.renew("a", at=OVER)):
        assert told(done, "done state released expired remaining expires_at") == (False, HoldState.EXPIRED, 0, 6, 0, OVER)
    assert [row["state"] for row in rows("SELECT state FROM holds")] == ["EXPIRED" if swept else "OPEN"]


def test_a_renewal_counts_from_now(holds: Holds) -> None:
    """It never shortens, and never goes beyond a day after the authorisation."""
    holds.authorise("a", "6", at=NOON)
    assert holds.renew("a", 60, at=NOON).expires_at == OVER
    later = holds.renew("a", at=OVER - MINUTE)
    assert told(later, "done state remaining expires_at") == (True, HoldState.OPEN, 6, OVER + 14 * MINUTE)
    assert holds.renew("a", 86_400, at=NOON + 20 * MINUTE).expires_at == NOON + 24 * HOUR
    assert holds.renew("a", 86_400, at=NOON + 23 * HOUR).expires_at == NOON + 24 * HOUR


@pytest.mark.parametrize("change", ["renew", "release"])
def test_a_hold_that_is_not_there_is_told(holds: Holds, change: str) -> None:
    """By its key."""
    with pytest.raises(NotFound, match=r"^key: mandate 'acme' has no hold 'a'$"):
        getattr(holds, change)("a")


def test_the_sweep_settles_what_is_over(holds: Holds, rows: Rows, record: Record, breaches: Breaches) -> None:
    """Nothing before its time; what was captured of a hold stays. Swept again there is nothing."""
    before = HOLDS_EXPIRED._value.get()
    now: datetime = rows("SELECT clock_timestamp() AS now")[0]["now"]
    holds.authorise("a", "1", at=now)
    holds.authorise("b", "2", at=now, ttl_seconds=3600)
    record(event(hold_key="a", price_chf="0.25", hold_final=False))
    assert holds.expire(at=now + 14 * MINUTE) == 0
    assert holds.expire(at=now + 15 * MINUTE) == 1
    assert holds.expire(at=now + 15 * MINUTE) == 0
    found = {row["hold_key"]: row for row in rows("SELECT * FROM holds")}
    assert (found["a"]["state"], found["a"]["captured"], found["a"]["expired"]) == ("EXPIRED", Decimal("0.25"), Decimal("0.75"))
    assert (found["b"]["state"], held(rows)) == ("OPEN", 2)
    assert HOLDS_EXPIRED._value.get() == before + 1
    assert broken(breaches) == []


def test_the_sweep_goes_on_until_nothing_is_over(holds: Holds, rows: Rows, breaches: Breaches) -> None:
    """500 in a transaction, of many mandates and of nobody's balance too."""
    rows(
        """INSERT INTO holds (mandate_id, hold_key, user_id, amount, local_date, authorised_at, expires_at, content_hash)
           SELECT 'm' || n % 300, 'k' || n, 'u', 1, '2026-01-01', '2026-01-01T00:00:00Z', '2026-01-01T00:15:00Z', 'x'
             FROM generate_series(1, :n) AS n""",
        n=2 * HOLDS_MAX + 7,
    )
    assert holds.expire() == 2 * HOLDS_MAX + 7
    assert rows("SELECT DISTINCT state, expired FROM holds") == [{"state": "EXPIRED", "expired": 1}]
    assert broken(breaches) == []


def test_the_hold_of_a_parked_event_does_not_end(holds: Holds, rows: Rows, breaches: Breaches) -> None:
    """While an event that came in time is parked it is held, can be renewed, and isn't swept; one that came too late changes nothing."""
    for key in ("in-time", "too-late"):
        holds.authorise(key, "1", at=NOON)
        rows(
            """INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, priced_under,
                                          received_at, hold_key, hold_user_id)
               VALUES ('acme', :key, 'x', 2, '{}', true, 'test', 'unpriced_model', 1, :came, :key, 'ada')""",
            key=key,
            came=OVER - MINUTE if key == "in-time" else OVER,
        )
    assert holds.authorise("b", "0", at=OVER + HOUR).held == 1
    assert holds.renew("in-time", at=OVER + MINUTE).done
    assert not holds.renew("too-late", at=OVER + MINUTE).done
    assert holds.expire(at=OVER + HOUR) == 1
    assert {row["hold_key"]: row["state"] for row in rows("SELECT * FROM holds")} == {"in-time": "OPEN", "too-late": "EXPIRED", "b": "OPEN"}
