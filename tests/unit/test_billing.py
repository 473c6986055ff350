"""The rules that need nothing but numbers: thresholds, lines, crossings, counts of outcomes."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.billing import AlertKind, BillingModel, alerts_at, crossings, warning_threshold
from core.events.outcome import BatchResult, Outcome

AMOUNTS = st.integers(-(10**19), 10**19).map(lambda units: Decimal(units).scaleb(-9))
PERCENTS = st.integers(0, 100_000).map(lambda thousandths: Decimal(thousandths).scaleb(-3))
WARNING, ZERO_LINE, LIMIT = AlertKind.WARNING, AlertKind.ZERO, AlertKind.CREDIT_LIMIT


@given(PERCENTS, AMOUNTS)
def test_the_warning_threshold_is_exact_and_never_negative(percent: Decimal, balance: Decimal) -> None:
    """max(0, percent x balance), half-even to nine places, over the whole range of balances."""
    expected = max(Fraction(0), Fraction(round(Fraction(percent) * Fraction(balance) / 100 * 10**9), 10**9))
    assert Fraction(warning_threshold(percent, balance)) == expected


@pytest.mark.parametrize(
    ("percent", "balance", "expected"),
    [
        ("10", "10", "1"),
        ("0", "10", "0"),
        ("100", "10", "10"),
        ("10", "-10", "0"),
        ("10", "0", "0"),
        ("50", "0.000000001", "0"),
        ("50", "0.000000003", "2e-9"),
    ],
)
def test_this_is_the_warning_threshold(percent: str, balance: str, expected: str) -> None:
    """Examples: the default, the ends of the range, halves to even."""
    assert warning_threshold(Decimal(percent), Decimal(balance)) == Decimal(expected)


@pytest.mark.parametrize("model", [BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE])
@pytest.mark.parametrize(
    ("balance", "threshold", "expected"),
    [
        ("1.000000001", "1", {}),
        ("1", "1", {WARNING: "1"}),
        ("0", "1", {WARNING: "1"}),
        ("-0.000000001", "1", {WARNING: "1", ZERO_LINE: "0"}),
        ("0", "0", {WARNING: "0"}),
        ("0.000000001", "0", {}),
        ("-5", "0", {WARNING: "0", ZERO_LINE: "0"}),
    ],
)
def test_a_prepaid_balance_warns_at_its_threshold_and_is_overdrawn_below_zero(
    model: BillingModel, balance: str, threshold: str, expected: dict[AlertKind, str]
) -> None:
    """The table of prepaid lines; a credit limit means nothing here."""
    found = alerts_at(model, Decimal(balance), Decimal(threshold), Decimal(0), Decimal(10))
    assert found == {kind: Decimal(line) for kind, line in expected.items()}


@pytest.mark.parametrize(
    ("balance", "limit", "percent", "expected"),
    [
        ("-89.999999999", "100", "10", {}),
        ("-90", "100", "10", {WARNING: "-90"}),
        ("-100", "100", "10", {WARNING: "-90"}),
        ("-100.000000001", "100", "10", {WARNING: "-90", LIMIT: "-100"}),
        ("5", "100", "100", {WARNING: "0"}),
        ("-99", "100", "0", {}),
        ("0", "0", "10", {WARNING: "0"}),
        ("-0.000000001", "0", "10", {WARNING: "0", LIMIT: "0"}),
        ("-1000000", None, "10", {}),
    ],
)
def test_a_postpaid_pool_warns_near_its_limit_and_exceeds_it_above(
    balance: str, limit: str | None, percent: str, expected: dict[AlertKind, str]
) -> None:
    """Debt at or above limit x (1 - percent/100) warns, debt above the limit exceeds it; 0 is a limit and none is none."""
    found = alerts_at(BillingModel.CREDIT_POSTPAY, Decimal(balance), Decimal(50), None if limit is None else Decimal(limit), Decimal(percent))
    assert found == {kind: Decimal(line) for kind, line in expected.items()}


@given(AMOUNTS, AMOUNTS, st.none() | AMOUNTS, PERCENTS)
def test_unlimited_use_crosses_no_line(balance: Decimal, threshold: Decimal, limit: Decimal | None, percent: Decimal) -> None:
    """Whatever the numbers, an account that doesn't pay never alerts."""
    assert alerts_at(BillingModel.UNLIMITED, balance, threshold, limit, percent) == {}


@given(st.sampled_from(BillingModel), st.tuples(AMOUNTS, AMOUNTS), AMOUNTS.map(abs), st.none() | AMOUNTS.map(abs), PERCENTS)
def test_going_there_and_back_crosses_every_line_twice(
    model: BillingModel, balances: tuple[Decimal, Decimal], threshold: Decimal, limit: Decimal | None, percent: Decimal
) -> None:
    """Each line between two balances is crossed once on the way and recovered from once on the way back."""
    before, after = (alerts_at(model, balance, threshold, limit, percent) for balance in balances)
    there, back = crossings(before, after), crossings(after, before)
    assert sorted((c.kind, c.threshold, c.recovered) for c in there) == sorted((c.kind, c.threshold, not c.recovered) for c in back)
    assert len({c.kind for c in there}) == len(there)
    assert {c.kind for c in there} == set(before) ^ set(after)
    assert crossings(after, after) == []


@given(st.sampled_from([BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE]), st.lists(AMOUNTS.map(abs), max_size=6), AMOUNTS, AMOUNTS.map(abs))
def test_debits_in_several_steps_cross_what_one_step_crosses(model: BillingModel, debits: list[Decimal], start: Decimal, threshold: Decimal) -> None:
    """However debits are split into commits, each line is reported once altogether."""

    def lines(balance: Decimal) -> dict[AlertKind, Decimal]:
        return alerts_at(model, balance, threshold, None, Decimal(10))

    balance, found = start, []
    for debit in debits:
        found += crossings(lines(balance), lines(balance - debit))
        balance -= debit
    assert sorted(c.kind for c in found) == sorted(c.kind for c in crossings(lines(start), lines(balance)))


def test_the_pool_pays_under_exactly_two_models() -> None:
    """PREPAY_MANDATE and CREDIT_POSTPAY."""
    assert {model for model in BillingModel if model.pool_pays} == {BillingModel.PREPAY_MANDATE, BillingModel.CREDIT_POSTPAY}


@given(st.lists(st.sampled_from(Outcome)))
def test_the_counts_name_every_outcome_and_sum_to_the_events(outcomes: list[Outcome]) -> None:
    """All five outcomes have a number, and together they are all events."""
    counts = BatchResult(outcomes).counts()
    assert list(counts) == list(Outcome)
    assert sum(counts.values()) == len(outcomes)
    assert all(counts[outcome] == outcomes.count(outcome) for outcome in Outcome)


def test_a_summary_is_for_people() -> None:
    """What did not occur is left out."""
    result = BatchResult([Outcome.RECORDED] * 497 + [Outcome.DUPLICATE] * 2 + [Outcome.REJECTED])
    assert result.summary() == "recorded 497, duplicate 2, rejected 1"
    assert BatchResult([]).summary() == "nothing"


def test_joined_results_are_one_result_in_order() -> None:
    """Outcomes in order, unknown users and reasons added up; the parts stay as they were."""
    one = BatchResult([Outcome.RECORDED], 1, {"too_late": 1})
    other = BatchResult([Outcome.REJECTED, Outcome.PARKED], 2, {"too_late": 2, "future": 1})
    assert BatchResult.joined([one, other]) == BatchResult([Outcome.RECORDED, Outcome.REJECTED, Outcome.PARKED], 3, {"too_late": 3, "future": 1})
    assert one.outcomes == [Outcome.RECORDED]
    assert BatchResult.joined([]) == BatchResult([])
