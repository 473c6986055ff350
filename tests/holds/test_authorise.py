"""Holds are authorised in full or not at all."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.asking.rights import ROOT, user
from core.billing import BillingModel, HoldState
from core.checks.model import Refusal
from core.config import Configuration
from core.database.database import Database
from core.errors import Conflict, Forbidden, RequestRefused
from core.holds.authorise import authorise, authorise_all
from tests.conftest import Record, Rows
from tests.holds.asking import Holds, broken, money, question, told
from tests.holds.scene import NOON
from tests.sample_events import event
from tests.scene import Breaches, PutAccount, PutMandate, PutSettings

USER, POOL, POSTPAY, FREE = BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE, BillingModel.CREDIT_POSTPAY, BillingModel.UNLIMITED
BROKE, BEYOND, DISABLED = Refusal.INSUFFICIENT_BALANCE, Refusal.CREDIT_LIMIT_EXCEEDED, Refusal.ACCOUNT_DISABLED


@pytest.fixture
def holds(database: Database, config: Configuration) -> Holds:
    """What is asked of holds."""
    return Holds(database, config)


@pytest.fixture
def ada(put_settings: PutSettings, put_account: PutAccount) -> int:
    """The account of ada, who pays for herself, with CHF 10."""
    put_settings("acme", USER, users=["ada", "bob"])
    return put_account("ada", "10")


def kept(rows: Rows) -> list[Any]:
    """Key, state and amount of every hold that is kept."""
    return [(row["hold_key"], row["state"], row["amount"]) for row in rows("SELECT * FROM holds ORDER BY hold_key")]


def test_what_is_held_is_available_no_more(holds: Holds, ada: int, rows: Rows, breaches: Breaches) -> None:
    """CHF 10 hold 6 and 4, and then nothing, not the last unit; the balance doesn't move."""
    first = holds.authorise("a", "6", at=NOON)
    assert told(first, "allowed reason state amount repeated") == (True, None, HoldState.OPEN, 6, False)
    assert first.expires_at == NOON + timedelta(minutes=15)
    assert money(first) == (10, 6, 4)
    refused = holds.authorise("b", "4.000000001", at=NOON)
    assert told(refused, "allowed reason state expires_at") == (False, BROKE, None, None)
    assert money(refused) == (10, 6, 4)
    assert money(holds.authorise("c", "4", at=NOON)) == (10, 10, 0)
    assert holds.authorise("d", "0.000000001", at=NOON).reason is BROKE
    assert kept(rows) == [("a", "OPEN", 6), ("c", "OPEN", 4)]
    assert rows("SELECT balance, held FROM accounts") == [{"balance": 10, "held": 10}]
    assert broken(breaches) == []


def test_a_hold_keeps_what_was_asked(holds: Holds, ada: int, rows: Rows) -> None:
    """Who pays, the names, the local day of the mandate and the time of the database."""
    rows("UPDATE billing_settings SET time_zone = 'Pacific/Auckland'")
    holds.authorise(at=NOON, provider="openai", model="gpt", feature_code="chat", ttl_seconds=60)
    (row,) = rows("SELECT * FROM holds")
    assert (row["balance_account_id"], row["provider"], row["model"], row["feature_code"]) == (ada, "openai", "gpt", "chat")
    assert (row["local_date"], row["authorised_at"], row["expires_at"]) == (date(2026, 3, 2), NOON, NOON + timedelta(seconds=60))
    assert (row["settled_at"], row["price_version"]) == (None, None)


def test_a_refused_key_is_as_new(holds: Holds, ada: int, rows: Rows) -> None:
    """Refusals are not kept: the same key may ask for less, in the very next moment."""
    assert not holds.authorise("a", "11", at=NOON).allowed
    assert holds.authorise("a", "5", at=NOON).allowed
    assert kept(rows) == [("a", "OPEN", 5)]


def test_nothing_may_be_held_of_nothing(holds: Holds, ada: int, rows: Rows) -> None:
    """An amount of 0 is granted while the balance isn't overdrawn, by use or by holds."""
    assert holds.authorise("a", "10", at=NOON).allowed
    assert holds.authorise("b", "0", at=NOON).allowed
    rows("UPDATE accounts SET balance = 9.999999999")
    assert holds.authorise("c", "0", at=NOON).reason is BROKE


@pytest.mark.parametrize(
    ("model", "blocks", "balance", "limit", "amount", "reason", "available"),
    [
        (POOL, True, "10", None, "10", None, "0"),
        (POOL, True, "10", None, "10.000000001", BROKE, "10"),
        (USER, False, "-5", None, "7", None, "-12"),
        (POSTPAY, True, "-90", "100", "10", None, "0"),
        (POSTPAY, True, "-90", "100", "10.000000001", BEYOND, "10"),
        (POSTPAY, False, "-90", "100", "11", BEYOND, "10"),
        (POSTPAY, True, "5", "100", "100", None, "0"),
        (POSTPAY, True, "-1000", None, "1000", None, None),
        (FREE, True, "-1000", None, "1000", None, None),
    ],
)
def test_who_pays_and_how_decides(
    holds: Holds, rows: Rows, put_settings: PutSettings, put_account: PutAccount, model: BillingModel, blocks: bool, balance: str,
    limit: str | None, amount: str, reason: Refusal | None, available: str | None,
) -> None:  # fmt: skip
    """A balance less what is held, a limit less debt and what is held; without a bound any amount."""
    put_settings("acme", model, users=["ada"], block_on_zero_balance=blocks)
    accounts = {"user": put_account("ada", balance), "pool": put_account(None, balance, credit_limit=limit)}
    answer = holds.authorise("a", amount, at=NOON)
    assert told(answer, "reason available") == (reason, available and Decimal(available))
    payer = None if model is FREE else accounts["pool" if model.pool_pays else "user"]
    assert [row["balance_account_id"] for row in rows("SELECT balance_account_id FROM holds")] == ([] if reason else [payer])
    held = {row["id"]: row["held"] for row in rows("SELECT id, held FROM accounts")}
    assert held == {own: Decimal(amount) if own == payer and not reason else 0 for own in accounts.values()}


@pytest.mark.parametrize("held_by", ["ada", None])
def test_a_disabled_account_holds_nothing_new(
    holds: Holds, rows: Rows, put_settings: PutSettings, put_account: PutAccount, held_by: str | None
) -> None:
    """Neither the user's nor the pool's that pays; what it held before is held on."""
    put_settings("acme", POOL, users=["ada"])
    put_account("ada")
    put_account(None, "10")
    assert holds.authorise("before", "1", at=NOON).allowed
    rows("UPDATE accounts SET enabled = false WHERE user_id IS NOT DISTINCT FROM CAST(:user_id AS text)", user_id=held_by)
    assert holds.authorise("after", "0", at=NOON).reason is DISABLED
    assert holds.authorise("before", "1", at=NOON).allowed


def test_an_authorisation_opens_what_a_check_would(holds: Holds, put_mandate: PutMandate, rows: Rows, breaches: Breaches) -> None:
    """Settings, account and grant of a mandate that is known: 10 by default, of which 10 may be held."""
    put_mandate("acme", users=["ada"])
    assert money(holds.authorise("a", "10")) == (10, 10, 0)
    assert rows("SELECT balance, held FROM accounts") == [{"balance": 10, "held": 10}]
    assert holds.authorise("b", "1").reason is BROKE
    assert broken(breaches) == []


def test_a_mandate_that_is_not_known_is_allowed_as_unlimited(holds: Holds, rows: Rows, put_mandate: PutMandate) -> None:
    """As a check allows it: nothing is opened and nothing is kept, so that nothing is left over once somebody pays."""
    answer = holds.authorise("a", "1000", at=NOON)
    assert (*told(answer, "allowed state billing_model"), *money(answer)) == (True, None, FREE, None, None, None)
    assert rows("SELECT * FROM billing_settings") == rows("SELECT * FROM accounts") == rows("SELECT * FROM holds") == []
    put_mandate("acme", users=["ada"])
    answer = holds.authorise("a", "10", at=NOON)  # her grant
    assert (*told(answer, "allowed state"), *money(answer)) == (True, HoldState.OPEN, Decimal(10), Decimal(10), Decimal(0))


def test_the_same_question_is_answered_with_what_became_of_its_hold(holds: Holds, ada: int, rows: Rows) -> None:
    """How long is no part of the question, nor how the amount is written; nothing is held a second time."""
    first = holds.authorise("a", "6", at=NOON)
    again = holds.authorise("a", "6.00", ttl_seconds=60, at=NOON + timedelta(minutes=1))
    assert told(again, "allowed repeated state amount expires_at") == (True, True, HoldState.OPEN, 6, first.expires_at)
    assert money(again) == (10, 6, 4)
    holds.release("a", at=NOON)
    again = holds.authorise("a", "6", at=NOON)
    assert told(again, "allowed reason state") == (False, None, HoldState.RELEASED)
    assert money(again) == (10, 0, 10)


@pytest.mark.parametrize("other", [{"amount": "2"}, {"user_id": "bob"}, {"feature_code": "chat"}, {"model": "m"}])
def test_a_key_of_another_question_is_a_conflict(holds: Holds, ada: int, rows: Rows, other: dict[str, str]) -> None:
    """Whatever became of its hold, for ever."""
    holds.authorise("a", at=NOON)
    for _ in range(2):
        with pytest.raises(Conflict, match=r"^key: 'a' was used for another hold of mandate 'acme' before \(another user"):
            holds.authorise("a", other.get("amount", "1"), at=NOON, **{name: value for name, value in other.items() if name != "amount"})
        holds.release("a", at=NOON)
    assert kept(rows) == [("a", "RELEASED", 1)]


def test_a_key_whose_hold_is_over_allows_nothing(holds: Holds, ada: int, rows: Rows) -> None:
    """By the clock alone and after the sweep: EXPIRED, and available again."""
    holds.authorise("a", "10", at=NOON)
    later = NOON + timedelta(minutes=15)
    for _ in range(2):
        answer = holds.authorise("a", "10", at=later)
        assert (*told(answer, "allowed state repeated"), *money(answer)) == (False, HoldState.EXPIRED, True, 10, 0, 10)
        holds.expire(at=later)
    assert kept(rows) == [("a", "EXPIRED", 10)]


def test_an_authorisation_after_its_event_is_told_so(holds: Holds, ada: int, record: Record) -> None:
    """Whatever is asked: the usage is recorded, and nothing is held for it."""
    record(event(hold_key="a", price_chf="0.25"))
    answer = holds.authorise("a", "7")
    assert told(answer, "allowed already_captured state amount") == (False, True, HoldState.CAPTURED, 0)
    assert money(answer) == (Decimal("9.75"), 0, Decimal("9.75"))


def test_a_captured_hold_is_told_as_captured(holds: Holds, ada: int, record: Record, breaches: Breaches) -> None:
    """The event took 0.25 of 1, which the balance has less; nothing is held any more."""
    holds.authorise("a", "1")
    record(event(hold_key="a", price_chf="0.25"))
    answer = holds.authorise("a", "1")
    assert told(answer, "allowed already_captured repeated amount") == (False, True, True, 1)
    assert money(answer) == (Decimal("9.75"), 0, Decimal("9.75"))
    assert broken(breaches) == []


def test_what_is_over_by_the_clock_is_held_no_more(holds: Holds, ada: int, rows: Rows, breaches: Breaches) -> None:
    """Before the sweep: the next one may have all of it. The sweep takes the first one's off, and the second's stays."""
    holds.authorise("a", "10", ttl_seconds=1, at=NOON)
    assert holds.authorise("b", "10", at=NOON).reason is BROKE
    second = holds.authorise("b", "10", ttl_seconds=86_400, at=NOON + timedelta(seconds=1))
    assert (*told(second, "allowed"), *money(second)) == (True, 10, 10, 0)
    assert rows("SELECT held FROM accounts") == [{"held": 20}]
    assert holds.expire(at=NOON + timedelta(seconds=1)) == 1
    assert rows("SELECT held FROM accounts") == [{"held": 10}]
    assert kept(rows) == [("a", "EXPIRED", 10), ("b", "OPEN", 10)]
    assert broken(breaches) == []


def test_a_clock_that_jumps_never_lets_more_be_held_than_there_is(holds: Holds, ada: int) -> None:
    """Forward the first is over; back it is held again, beside the second, and nothing more is granted."""
    holds.authorise("a", "10", at=NOON)
    assert holds.authorise("b", "10", at=NOON + timedelta(hours=1)).allowed
    back = holds.authorise("c", "0", at=NOON)
    assert (*told(back, "reason"), *money(back)) == (BROKE, 10, 20, -10)
    assert holds.authorise("d", "0", at=NOON + timedelta(minutes=16)).allowed


def test_a_hold_counts_on_the_day_of_its_authorisation(holds: Holds, ada: int, rows: Rows) -> None:
    """23:59 in Zurich is yesterday's, 00:01 today's; on the day the clocks go forward too."""
    rows("UPDATE billing_settings SET time_zone = 'Europe/Zurich'")
    for key, at in (
        ("a", datetime(2026, 1, 31, 22, 59, tzinfo=UTC)),
        ("b", datetime(2026, 1, 31, 23, 1, tzinfo=UTC)),
        ("c", datetime(2026, 3, 28, 22, 59, tzinfo=UTC)),
        ("d", datetime(2026, 3, 29, 21, 59, tzinfo=UTC)),
        ("e", datetime(2026, 3, 29, 22, 0, tzinfo=UTC)),
    ):
        holds.authorise(key, "0", at=at)
    days = [row["local_date"] for row in rows("SELECT local_date FROM holds ORDER BY hold_key")]
    assert days == [date(2026, 1, 31), date(2026, 2, 1), date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ttl_seconds": 0}, "ttl_seconds: 0 is not 1 to 86400 seconds"),
        ({"ttl_seconds": 86_401}, "ttl_seconds: 86401 is not 1 to 86400 seconds"),
        ({"ttl_seconds": "60"}, "ttl_seconds: '60' "),
        ({"amount": "-1"}, "amount: '-1' is negative"),
        ({"amount": "0.0000000001"}, "amount: '0.0000000001' has more than nine decimal places"),
        ({"amount": 0.1}, "amount: 0.1 is a float"),
        ({"amount": None}, "amount: either it or estimated_usage is named, and not both"),
        ({"estimated_usage": {"input": 1}}, "amount: either it or estimated_usage is named, and not both"),
        ({"amount": None, "estimated_usage": {"input": 1}, "provider": "openai"}, "model: is missing: estimated_usage is priced by it"),
        ({"amount": None, "estimated_usage": {}}, "estimated_usage: "),
        ({"amount": None, "estimated_usage": {"tokens": 1}}, "estimated_usage.tokens"),
        ({"amount": None, "estimated_usage": {"input": -1}}, "estimated_usage.input: -1 "),
        ({"service_tier": "flex"}, "service_tier: goes with estimated_usage, not with an amount"),
        ({"key": ""}, "key: '' "),
        ({"key": "a\x00"}, "key: "),
        ({"cost": "1"}, "cost: is not a field"),
    ],
)
def test_a_wrong_question_is_refused_with_field_and_value(fields: dict[str, object], message: str) -> None:
    """Before anything is looked at."""
    with pytest.raises(RequestRefused) as refusal:
        question(**{"key": "a", **fields})  # type: ignore[arg-type]
    assert str(refusal.value).startswith(message)


def test_only_root_authorises(database: Database, config: Configuration) -> None:
    """What is held is money."""
    with pytest.raises(Forbidden, match="may not authorise a hold"):
        authorise(database, user("ada"), question(), config=config)


def test_several_questions_are_judged_one_after_the_other(holds: Holds, ada: int, put_account: PutAccount, rows: Rows, breaches: Breaches) -> None:
    """In their order, whoever pays; the refused leave nothing, and each error is its own question's."""
    put_account("bob", "1")
    holds.authorise("taken", "1", at=NOON)
    asked = [
        question("z", "5"),
        question("y", "5"),
        question("taken", "2"),
        question("x", "4"),
        question("b", "1", user_id="bob"),
        question("n", "3", mandate_id="nowhere"),
    ]
    answers = authorise_all(holds.database, ROOT, asked, config=holds.config, clock=NOON)
    assert [isinstance(answer, RequestRefused) or answer.allowed for answer in answers] == [True, False, True, True, True, True]
    assert isinstance(answers[2], Conflict)
    assert kept(rows) == [("b", "OPEN", 1), ("taken", "OPEN", 1), ("x", "OPEN", 4), ("z", "OPEN", 5)]
    assert [row["held"] for row in rows("SELECT held FROM accounts ORDER BY id")] == [10, 1]
    assert broken(breaches) == []
