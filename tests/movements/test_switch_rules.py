"""What a switch moves: every pair of models, and shares that sum to the last unit."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.billing import BillingModel
from core.money import ZERO
from core.movements.switch_rules import Transfer, Unmoved, deltas, equal_shares, transfer

USER, POOL, LATER, FREE = BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE, BillingModel.CREDIT_POSTPAY, BillingModel.UNLIMITED
GATHER, SPLIT, NOTHING = Transfer.USERS_TO_POOL, Transfer.POOL_TO_USERS, Transfer.NOTHING
AMOUNTS = st.integers(-(10**19), 10**19).map(lambda units: Decimal(units).scaleb(-9))
USERS = st.lists(st.tuples(AMOUNTS, st.booleans()), max_size=50)


@pytest.mark.parametrize(
    ("old", "before", "new", "expected"),
    [
        (USER, None, POOL, GATHER),
        (USER, None, LATER, GATHER),
        (POOL, None, USER, SPLIT),
        (LATER, None, USER, SPLIT),
        (POOL, None, LATER, NOTHING),
        (LATER, None, POOL, NOTHING),
        *[(old, old, FREE, NOTHING) for old in (USER, POOL, LATER)],
        *[(FREE, None, new, GATHER) for new in (POOL, LATER)],
        (FREE, None, USER, SPLIT),
        *[(FREE, USER, new, GATHER) for new in (POOL, LATER)],
        *[(FREE, before, USER, SPLIT) for before in (POOL, LATER)],
        *[(FREE, before, new, NOTHING) for before in (POOL, LATER) for new in (POOL, LATER)],
        (FREE, USER, USER, NOTHING),
    ],
)
def test_the_pair_of_models_decides_which_way_the_money_goes(
    old: BillingModel, before: BillingModel | None, new: BillingModel, expected: Transfer
) -> None:
    """All twelve ordered pairs, those from UNLIMITED as from the model before it, or as from the other side where there was none."""
    assert transfer(old, before, new) is expected


@given(st.sampled_from(Transfer), AMOUNTS, USERS)
def test_a_transfer_conserves(way: Transfer, pool: Decimal, users: list[tuple[Decimal, bool]]) -> None:
    """What the users get and what the pool gets is 0 together, whatever the balances."""
    parts = deltas(way, pool, users)
    assert len(parts.users) == len(users)
    assert sum(map(Fraction, parts.users)) + Fraction(parts.pool) == 0
    assert {amount.as_tuple().exponent for amount in [*parts.users, parts.pool]} == {-9}


@given(AMOUNTS, USERS)
def test_users_give_all_to_the_pool(pool: Decimal, users: list[tuple[Decimal, bool]]) -> None:
    """Each user balance becomes 0, negative ones and those of disabled accounts too, and the pool's own stays in it."""
    parts = deltas(GATHER, pool, users)
    assert [balance + part for (balance, _), part in zip(users, parts.users, strict=True)] == [0] * len(users)
    assert parts.unmoved is None


@given(AMOUNTS, USERS)
def test_a_positive_pool_is_split_over_enabled_users(pool: Decimal, users: list[tuple[Decimal, bool]]) -> None:
    """It is 0 afterwards; a pool that isn't positive, or without an enabled account, stays and says why."""
    parts = deltas(SPLIT, pool, users)
    if pool <= 0 or not any(enabled for _, enabled in users):
        assert parts.unmoved is (Unmoved.POOL_NOT_POSITIVE if pool <= 0 else Unmoved.NO_ENABLED_USER_ACCOUNT)
        assert {*parts.users, parts.pool} == {ZERO}
    else:
        assert (parts.pool, parts.unmoved) == (-pool, None)
        assert all(enabled or part == 0 for (_, enabled), part in zip(users, parts.users, strict=True))


@given(AMOUNTS.map(abs), st.integers(1, 300))
def test_shares_are_equal_by_largest_remainder(amount: Decimal, receivers: int) -> None:
    """They sum to the amount exactly, differ by one unit at most, and the larger ones come first."""
    shares = equal_shares(amount, receivers)
    assert sum(map(Fraction, shares)) == Fraction(amount)
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == receivers
    assert shares[0] - shares[-1] <= Decimal("0.000000001")


@pytest.mark.parametrize(
    ("amount", "receivers", "expected"),
    [
        ("0.01", 3, ["0.003333334", "0.003333333", "0.003333333"]),
        ("0.000000002", 3, ["0.000000001", "0.000000001", "0"]),
        ("10", 1, ["10"]),
        ("10000000000", 3, ["3333333333.333333334", "3333333333.333333333", "3333333333.333333333"]),
    ],
)
def test_these_are_the_shares(amount: str, receivers: int, expected: list[str]) -> None:
    """Examples: a remainder, fewer units than receivers, one receiver, the largest amount."""
    assert equal_shares(Decimal(amount), receivers) == [Decimal(share) for share in expected]
