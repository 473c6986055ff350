"""What is granted of many questions, against a plain sum."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from core.billing import BillingModel
from core.checks.model import HeldBalance, Refusal
from core.holds.judge import Asked, judge
from core.holds.question import HoldQuestion
from core.holds.sql.authorise import Written
from core.money import ZERO
from core.settings.model import BillingSettings

UNITS = st.integers(-30, 100).map(lambda units: Decimal(units).scaleb(-9))
AMOUNTS = st.integers(0, 40).map(lambda units: Decimal(units).scaleb(-9))
POOL, USER = 1, {"ada": 2, "bob": 3}
WRITTEN = Written(date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC))


def asked(n: int, user_id: str, amount: Decimal, settings: BillingSettings) -> Asked:
    """A question whose hold is written."""
    question = HoldQuestion(mandate_id="acme", user_id=user_id, key=f"k{n}", amount=amount)
    return Asked(question, settings, USER[user_id], POOL, amount, written=WRITTEN)


@given(
    model=st.sampled_from(BillingModel),
    blocks=st.booleans(),
    balances=st.tuples(UNITS, UNITS, UNITS),
    limit=st.none() | AMOUNTS,
    held=st.tuples(AMOUNTS, AMOUNTS, AMOUNTS),
    disabled=st.sets(st.sampled_from([1, 2, 3]), max_size=1),
    questions=st.lists(st.tuples(st.sampled_from(["ada", "bob"]), AMOUNTS), max_size=12),
)
def test_each_is_granted_if_it_fits_what_is_left(
    model: BillingModel,
    blocks: bool,
    balances: tuple[Decimal, ...],
    limit: Decimal | None,
    held: tuple[Decimal, ...],
    disabled: set[int],
    questions: list[tuple[str, Decimal]],
) -> None:
    """One after the other: of a blocking balance, or of a limit, no more is held than there is; what is refused changes nothing."""
    settings = BillingSettings("acme", model, ZERO, ZERO, "UTC", 1, None, blocks)
    accounts = {i: HeldBalance(i not in disabled, balances[i - 1], limit if i == POOL else None, held[i - 1]) for i in (1, 2, 3)}
    left: dict[int, Decimal | None] = {}
    for i, account in accounts.items():
        if model is BillingModel.CREDIT_POSTPAY:
            left[i] = None if limit is None else limit - max(ZERO, -account.balance) - account.held
        else:
            left[i] = account.balance - account.held if blocks else None
    new = [asked(n, user_id, amount, settings) for n, (user_id, amount) in enumerate(questions)]
    before = {i: replace(account) for i, account in accounts.items()}
    more = judge(new, accounts, {}, None, lambda _: False)
    for one in new:
        payer = None if model is BillingModel.UNLIMITED else POOL if model.pool_pays else one.user
        assert one.amount is not None
        if disabled & {one.user, payer}:
            assert one.reason is Refusal.ACCOUNT_DISABLED
        elif payer is None or (room := left[payer]) is None:
            assert one.reason is None
        elif one.amount <= room:
            assert one.reason is None
            left[payer] = room - one.amount
        else:
            assert one.reason in (Refusal.INSUFFICIENT_BALANCE, Refusal.CREDIT_LIMIT_EXCEEDED)
    granted = sum((one.amount for one in new if one.reason is None and one.amount is not None), ZERO)
    assert sum(more.values()) == (ZERO if model is BillingModel.UNLIMITED else granted)
    assert all(accounts[i] == replace(before[i], held=before[i].held + more.get(i, ZERO)) for i in accounts)


@given(balance=st.integers(0, 1000), amount=st.integers(1, 50), n=st.integers(0, 60))
def test_of_a_balance_as_many_are_granted_as_fit(balance: int, amount: int, n: int) -> None:
    """min(n, ⌊B/a⌋)."""
    settings = BillingSettings("acme", BillingModel.PREPAY_MANDATE, ZERO, ZERO, "UTC", 1, None, block_on_zero_balance=True)
    accounts = {POOL: HeldBalance(True, Decimal(balance), None), 2: HeldBalance(True, ZERO, None)}
    new = [asked(i, "ada", Decimal(amount), settings) for i in range(n)]
    judge(new, accounts, {}, None, lambda _: False)
    assert sum(one.reason is None for one in new) == min(n, balance // amount)
