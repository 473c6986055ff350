"""Ledger entries in the words of FOCUS: what a charge is, and its sign."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from core.reports.focus import ENTRY_COLUMNS, USAGE_COLUMNS, Bounds, ChargedEntry, Usage, charge_of_entry, charge_of_usage

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BOUNDS = Bounds(*[NOW.replace(hour=hour) for hour in range(4)])
TOKENS = (1, 2, 3, 4, 5)
OF_USAGE = {"reversed_transaction_type": "DEBIT", "reversed_reference_type": "WORKFLOW"}
OF_PAYMENT = {"reversed_transaction_type": "CREDIT", "reversed_reference_type": "PAYMENT"}
OF_ADJUSTMENT = {"reversed_transaction_type": "ADJUSTMENT", "reversed_reference_type": "ADJUSTMENT"}


def entry(kind: str, source: str, amount: str, **fields: object) -> ChargedEntry:
    """An entry on the balance of ada's account; `fields` replace others."""
    usual: dict[str, object] = dict.fromkeys(ChargedEntry._fields)
    usual |= {"id": 7, "mandate_id": "acme", "mandate_name": "Acme", "account_id": 4, "account_type": "USER", "account_user_name": "Ada"}
    usual |= {"balance_account_id": 4, "transaction_type": kind, "amount": Decimal(amount), "reference_type": source, "description": "d"}
    usual |= {"user_id": "olga", "occurred_at": NOW, "recorded_at": NOW, "local_date": date(2026, 1, 31), "tokens": TOKENS, "bounds": BOUNDS}
    return ChargedEntry(**{**usual, **fields})  # type: ignore[arg-type]


def charge(given: ChargedEntry) -> dict[str, object]:
    """The entry as FOCUS has it, by column."""
    return dict(zip([column.name for column in ENTRY_COLUMNS], charge_of_entry(given), strict=True))


@pytest.mark.parametrize(
    ("given", "category", "billed", "effective", "quantity"),
    [
        (entry("DEBIT", "WORKFLOW", "2"), "Usage", "2", "2", 1),
        (entry("DEBIT", "WORKFLOW", "0"), "Usage", "0", "0", 1),
        (entry("DEBIT", "WORKFLOW", "2", balance_account_id=None), "Usage", "0", "2", 1),
        (entry("DEBIT", "AMENDMENT", "3"), "Usage", "3", "3", 0),
        (entry("ADJUSTMENT", "AMENDMENT", "2", **OF_USAGE), "Usage", "-2", "-2", 0),
        (entry("ADJUSTMENT", "AMENDMENT", "2", balance_account_id=None, **OF_USAGE), "Usage", "0", "-2", 0),
        (entry("ADJUSTMENT", "REFUND", "2", **OF_USAGE), "Usage", "-2", "-2", 0),
        (entry("ADJUSTMENT", "REFUND", "2", **{**OF_USAGE, "reversed_reference_type": "AMENDMENT"}), "Usage", "-2", "-2", 0),
        (entry("CREDIT", "SYSTEM", "10"), "Credit", "-10", "0", None),
        (entry("CREDIT", "PAYMENT", "250"), "Credit", "-250", "0", None),
        (entry("CREDIT", "PAYMENT", "250", balance_account_id=None), "Credit", "0", "0", None),
        (entry("ADJUSTMENT", "REFUND", "-250", **OF_PAYMENT), "Credit", "250", "0", None),
        (entry("ADJUSTMENT", "ADJUSTMENT", "-12.5"), "Adjustment", "12.5", "0", None),
        (entry("ADJUSTMENT", "ADJUSTMENT", "12.5"), "Adjustment", "-12.5", "0", None),
        (entry("ADJUSTMENT", "REFUND", "12.5", **OF_ADJUSTMENT), "Adjustment", "-12.5", "0", None),
        (entry("ADJUSTMENT", "SWITCH", "-7"), "Adjustment", "7", "0", None),
        (entry("DEBIT", "PAYMENT", "7", balance_account_id=None), "Adjustment", "0", "0", None),
    ],
)
def test_each_kind_of_entry_has_its_category_and_signs(given: ChargedEntry, category: str, billed: str, effective: str, quantity: int | None) -> None:
    """What takes from a balance is positive; only usage, and what gives usage back, has an effective cost; only a call counts as one."""
    found = charge(given)
    assert (found["ChargeCategory"], found["BilledCost"], found["EffectiveCost"]) == (category, Decimal(billed), Decimal(effective))
    assert (found["ConsumedQuantity"], found["ConsumedUnit"]) == (quantity, None if quantity is None else "Requests")
    assert all(not cost.is_signed() for cost in (found["BilledCost"], found["EffectiveCost"]) if isinstance(cost, Decimal) and cost == 0)


def test_who_and_what_for() -> None:
    """The mandate is the billing account, the user's account the sub account; usage is of a provider's model, money of the ledger's own."""
    usage = charge(entry("DEBIT", "WORKFLOW", "2", provider="openai", model="gpt-5", feature_code="chat", event_id="e"))
    assert [usage[name] for name in ("BillingAccountId", "BillingAccountName", "SubAccountId", "SubAccountName")] == ["acme", "Acme", "4", "Ada"]
    assert [usage[name] for name in ("ServiceProviderName", "ProviderName", "ServiceName", "x_FeatureCode")] == ["openai", "openai", "gpt-5", "chat"]
    assert (usage["ServiceCategory"], usage["BillingCurrency"], usage["x_EventId"], usage["x_UserId"]) == (
        "AI and Machine Learning",
        "CHF",
        "e",
        "olga",
    )
    assert Bounds(*[usage[name] for name in ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd")]) == BOUNDS  # type: ignore[arg-type]
    assert charge(entry("DEBIT", "WORKFLOW", "2"))["ServiceName"] == "unknown"
    pool = charge(entry("CREDIT", "PAYMENT", "5", account_type="MANDATE", account_user_name=None))
    assert (pool["SubAccountId"], pool["SubAccountName"], pool["ServiceCategory"], pool["ServiceName"]) == (None, None, "Other", "Balance")


def test_statistics_are_usage() -> None:
    """Cost and what was billed of it, the number of calls, and refunds beside them."""
    amounts = (Decimal(3), Decimal(2), Decimal(1))
    row = Usage("acme", "Acme", 4, "Ada", "MONTH", date(2026, 1, 1), "openai", "gpt-5", "chat", 9, *amounts, TOKENS, BOUNDS)
    found = dict(zip([column.name for column in USAGE_COLUMNS], charge_of_usage(row), strict=True))
    assert (found["EffectiveCost"], found["BilledCost"], found["x_Refunded"], found["ConsumedQuantity"]) == (3, 2, 1, 9)
    assert (found["ChargeCategory"], found["x_PeriodType"], found["ServiceName"], found["x_ReasoningTokens"]) == ("Usage", "MONTH", "gpt-5", 5)


@pytest.mark.parametrize("columns", [ENTRY_COLUMNS, USAGE_COLUMNS])
def test_own_columns_come_last_and_say_so(columns: tuple[tuple[str, object], ...]) -> None:
    """Names are unique, those of FOCUS in alphabetical order, then the own ones, which begin with x_."""
    names = [name for name, _ in columns]
    own = [name for name in names if name.startswith("x_")]
    assert len(set(names)) == len(names)
    assert names == [*sorted(set(names) - set(own)), *own]
