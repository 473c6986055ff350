"""What caps do to the balance check: which one refuses, when it opens, and what is not judged."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from core.asking.rights import ROOT, user
from core.billing import BillingModel
from core.checks.check_balance import BalanceCheck, BalanceQuestion, check_balance
from core.checks.model import Refusal
from core.config import Configuration
from core.database.database import Database
from core.ledger.opening import KnownAccounts
from tests.caps.scene import SetCap, put_cap
from tests.conftest import Record, Rows
from tests.prices.scene import accepted, row
from tests.sample_events import OCCURRED_AT, event
from tests.scene import PutAccount, PutSettings

__all__ = ["put_cap"]
Check = Callable[..., BalanceCheck]


@pytest.fixture
def check(database: Database, config: Configuration) -> Check:
    """Asks whether ada of acme may make a call; `fields` are those of the question."""

    def ask(*, actor: Any = ROOT, known: KnownAccounts | None = None, clock: datetime | None = None, **fields: Any) -> BalanceCheck:
        asked = BalanceQuestion.read({"mandate_id": "acme", "user_id": "ada", **fields})
        return check_balance(database, actor, asked, config=config, known_accounts=known, clock=clock)

    return ask


@pytest.mark.parametrize("model", list(BillingModel))
def test_a_reached_cap_refuses_whoever_pays(
    check: Check, put_cap: SetCap, put_settings: PutSettings, put_account: PutAccount, record: Record, model: BillingModel
) -> None:
    """Under every model, UNLIMITED too, and where nothing blocks at zero: at the limit exactly, and again the next day of the mandate."""
    put_settings(model=model, users=["ada"], time_zone="Europe/Zurich", block_on_zero_balance=False)
    put_account(None, "100")
    put_account("ada", "100")
    own = put_cap("5", "DAY", user_id="ada", clock=OCCURRED_AT).cap
    record(event(price_chf="4.999999999"))
    assert check(clock=OCCURRED_AT).allowed
    record(event(price_chf="0.000000001"))
    refused = check(clock=OCCURRED_AT)
    assert (refused.allowed, refused.reason) == (False, Refusal.CAP_EXCEEDED)
    assert refused.cap is not None
    assert (refused.cap.cap.id, refused.cap.user_id, refused.cap.spent, refused.cap.held) == (own.id, "ada", Decimal(5), Decimal(0))
    opens = refused.cap.opens_at
    assert opens is not None
    assert timedelta(0) < opens - OCCURRED_AT <= timedelta(hours=25)
    assert check(clock=opens - timedelta(microseconds=1)).reason is Refusal.CAP_EXCEEDED
    assert check(clock=opens).allowed
    assert check(user_id="bob", clock=OCCURRED_AT).reason is not Refusal.CAP_EXCEEDED


def test_a_disabled_account_and_the_balance_come_before_caps(
    check: Check, put_cap: SetCap, put_settings: PutSettings, put_account: PutAccount, rows: Rows
) -> None:
    """What refuses first is told: a cap isn't looked at where the balance refuses."""
    put_settings(users=["ada"])
    put_account("ada", "1")
    put_cap("0", "TOTAL")
    assert check(estimated_cost="2").reason is Refusal.INSUFFICIENT_BALANCE
    assert check(estimated_cost="1").reason is Refusal.CAP_EXCEEDED
    rows("UPDATE accounts SET enabled = false")
    assert check(estimated_cost="1").reason is Refusal.ACCOUNT_DISABLED


def test_a_cap_on_what_isnt_named_is_not_judged_and_listed(check: Check, put_cap: SetCap, put_settings: PutSettings, put_account: PutAccount) -> None:
    """Named, it refuses or doesn't concern the call; an alerting cap never refuses and is never listed."""
    put_settings(users=["ada"])
    put_account("ada", "100")
    of_model = put_cap("0", "TOTAL", dimension="model", value="gpt").cap.id
    of_feature = put_cap("0", "TOTAL", dimension="feature_code", value="chat").cap.id
    put_cap("0", "TOTAL", dimension="provider", value="openai", action="ALERT")
    assert (check().allowed, check().unjudged_caps) == (True, (of_model, of_feature))
    refused = check(model="gpt", provider="openai")
    assert refused.cap is not None
    assert (refused.reason, refused.cap.cap.id, refused.unjudged_caps) == (Refusal.CAP_EXCEEDED, of_model, (of_feature,))
    assert (check(model="other", feature_code="other").allowed, check(model="other", feature_code="other").unjudged_caps) == (True, ())


def test_held_and_available_stand_beside_the_balance(check: Check, put_settings: PutSettings, put_account: PutAccount) -> None:
    """What open holds keep is not available."""
    put_settings(users=["ada"])
    put_account("ada", "10", held=Decimal(3))
    found = check(estimated_cost="7")
    assert (found.allowed, found.current_balance, found.held, found.available) == (True, Decimal(10), Decimal(3), Decimal(7))
    assert check(estimated_cost="7.000000001").reason is Refusal.INSUFFICIENT_BALANCE


def test_holds_count_in_caps_until_they_are_over(
    check: Check, put_cap: SetCap, put_settings: PutSettings, put_account: PutAccount, rows: Rows
) -> None:
    """Spent and held together reach the limit; from the end of the hold on it doesn't count, whether or not it is settled."""
    put_settings(users=["ada"])
    put_account("ada", "100")
    now = datetime.now(UTC).replace(hour=12)
    rows(
        """INSERT INTO holds (mandate_id, hold_key, user_id, amount, local_date, authorised_at, expires_at)
           VALUES ('acme', 'k', 'ada', 5, :day, :now, :end)""",
        day=now.date(), now=now, end=now + timedelta(minutes=1),
    )  # fmt: skip
    put_cap("5", "DAY", clock=now)
    refused = check(clock=now)
    assert refused.cap is not None
    assert (refused.cap.spent, refused.cap.held) == (Decimal(0), Decimal(5))
    assert check(clock=now + timedelta(minutes=1)).allowed


def test_without_caps_no_statement_is_made_for_them(
    check: Check, put_cap: SetCap, put_settings: PutSettings, put_account: PutAccount, database: Database
) -> None:
    """One statement without caps; with them one for the counters, and one for the caps where they aren't known."""
    put_settings(users=["ada"])
    put_account("ada", "100")
    known, statements = KnownAccounts(), []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sqlalchemy_event.listen(database._engine, "before_cursor_execute", count)

    def asked() -> int:
        statements.clear()
        assert check(known=known, model="gpt").allowed
        return len(statements)

    assert asked() == 1
    put_cap("5", "TOTAL")
    assert [asked(), asked()] == [3, 2]
    put_cap("6", "TOTAL")
    assert [asked(), asked()] == [3, 2]


def test_a_user_is_told_of_the_cap_too(check: Check, put_cap: SetCap, put_settings: PutSettings, put_account: PutAccount) -> None:
    """Whoever may ask about themselves gets the whole answer."""
    put_settings(users=["ada"])
    put_account("ada", "100")
    put_cap("0", "MONTH")
    assert check(actor=user("ada")).cap is not None


def test_a_model_whose_rows_are_all_free_is_not_refused(
    check: Check, put_cap: SetCap, put_settings: PutSettings, put_account: PutAccount, database: Database
) -> None:
    """Named with its provider, by the version that is active; a model that costs anything, or that nobody knows, is."""
    accepted(database, [row("free", amount="0"), row("free", "output", amount="0"), row("gpt"), row("half", amount="0"), row("half", "output")])
    put_settings(users=["ada"])
    put_account("ada", "100")
    put_cap("0", "TOTAL")
    assert check(provider="openai", model="free").allowed
    for named in ({"model": "free"}, {}, *({"provider": "openai", "model": model} for model in ("gpt", "half", "unknown"))):
        assert check(**named).reason is Refusal.CAP_EXCEEDED
    accepted(database, [row("gpt", amount="0"), row("free")])
    assert check(provider="openai", model="gpt").allowed
    assert check(provider="openai", model="free").reason is Refusal.CAP_EXCEEDED
