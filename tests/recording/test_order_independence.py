"""The books depend on the set of events alone: not on order, copies or batches (I12)."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.billing import BillingModel
from core.ledger.opening import KnownAccounts
from tests.conftest import Record, Rows
from tests.sample_events import OCCURRED_AT, event
from tests.scene import PutSettings

ZONES = {BillingModel.PREPAY_USER: "UTC", BillingModel.PREPAY_MANDATE: "Europe/Zurich", BillingModel.CREDIT_POSTPAY: "Pacific/Kiritimati"}
MEMBERS, EVERYBODY = ["ada", "bob"], ["ada", "bob", "stranger"]
PRICES = ["0", "0.000000001", "0.1", "0.333333333", "9.999999999", "123456.789"]
Day = tuple[str, str, date, str | None]  # mandate, user, local day, model
_worlds = itertools.count()


@dataclass(frozen=True)
class Usage:
    """One event, as the model sees it."""

    billing_model: BillingModel
    user_id: str
    price: str
    hours_ago: int
    model: str | None


@dataclass
class Books:
    """The books, kept by a plain program that has never heard of batches."""

    balances: dict[tuple[str, str | None], Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    days: dict[Day, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    keys: set[tuple[str, str]] = field(default_factory=set)

    def enter(self, world: str, number: int, usage: Usage) -> None:
        """Enters an event, once."""
        mandate_id = f"{world}{usage.billing_model}"
        if (mandate_id, f"e{number}") in self.keys:
            return
        self.keys.add((mandate_id, f"e{number}"))
        price, holder = Fraction(usage.price), (mandate_id, usage.user_id)
        if holder not in self.balances:
            granted = usage.billing_model is BillingModel.PREPAY_USER and usage.user_id in MEMBERS
            self.balances[holder] = Fraction(10 if granted else 0)
        if usage.billing_model.pool_pays:
            holder = (mandate_id, None)  # type: ignore[assignment]
        self.balances[holder] -= price if usage.billing_model is not BillingModel.UNLIMITED else 0
        local = _moment(usage).astimezone(ZoneInfo(ZONES.get(usage.billing_model, "Asia/Kolkata"))).date()
        self.days[mandate_id, usage.user_id, local, usage.model] += price


def _moment(usage: Usage) -> datetime:
    return OCCURRED_AT - timedelta(hours=usage.hours_ago)


def _fields(world: str, number: int, usage: Usage) -> dict[str, object]:
    return event(
        event_id=f"e{number}",
        mandate_id=f"{world}{usage.billing_model}",
        user_id=usage.user_id,
        price_chf=usage.price,
        occurred_at=_moment(usage).isoformat(),
        model=usage.model,
    )


USAGES = st.builds(
    Usage, st.sampled_from(BillingModel), st.sampled_from(EVERYBODY), st.sampled_from(PRICES), st.integers(0, 72), st.sampled_from([None, "a", "b"])
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Usage], list[list[int]]]:
    """Unique events, and the batches (of event numbers) in which they and their copies come."""
    usages = draw(st.lists(USAGES, min_size=1, max_size=25))
    copies = draw(st.lists(st.integers(0, len(usages) - 1), max_size=25))
    order = draw(st.permutations([*range(len(usages)), *copies]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=6)))
    return usages, [order[start:end] for start, end in itertools.pairwise([0, *cuts, len(order)]) if start < end]


@pytest.fixture
def kept(rows: Rows) -> Callable[[str], Books]:
    """Reads the books of one world, the mandates whose name begins so."""

    def read(world: str) -> Books:
        books, prefix = Books(), f"{world}%"
        for row in rows("SELECT mandate_id, user_id, balance FROM accounts WHERE mandate_id LIKE :prefix", prefix=prefix):
            books.balances[row["mandate_id"], row["user_id"]] = Fraction(row["balance"])
        for row in rows("SELECT mandate_id, event_id FROM event_keys WHERE mandate_id LIKE :prefix", prefix=prefix):
            books.keys.add((row["mandate_id"], row["event_id"]))
        usage = "SELECT * FROM transactions WHERE reference_type = 'WORKFLOW' AND mandate_id LIKE :prefix"
        for row in rows(usage, prefix=prefix):
            books.days[row["mandate_id"], row["created_by_user_id"], row["local_date"], row["model"]] += Fraction(row["amount"])
        return books

    return read


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deliveries(), st.booleans())
def test_any_delivery_of_a_set_of_events_gives_the_same_books(
    record: Record,
    put_settings: PutSettings,
    kept: Callable[[str], Books],
    delivery: tuple[list[Usage], list[list[int]]],
    forgetful: bool,
) -> None:
    """Any order, any copies, any split into batches: balances, keys and daily sums are those of the plain model, to the last unit."""
    usages, batches = delivery
    world = f"w{next(_worlds):04}-"
    for model in BillingModel:
        put_settings(f"{world}{model}", model, users=MEMBERS, time_zone=ZONES.get(model, "Asia/Kolkata"))
    fields = [_fields(world, number, usage) for number, usage in enumerate(usages)]
    expected, outcomes = Books(), Counter[str]()
    for number, usage in enumerate(usages):
        expected.enter(world, number, usage)
    known = KnownAccounts()
    for batch in batches:
        result = record(*[fields[number] for number in batch], known_accounts=KnownAccounts() if forgetful else known)
        outcomes.update(outcome.value for outcome in result.outcomes)
    found = kept(world)
    assert (found.balances, found.keys, found.days) == (expected.balances, expected.keys, expected.days)
    copies = sum(map(len, batches)) - len(usages)
    assert outcomes == Counter(recorded=len(usages), duplicate=copies)


def test_sums_of_the_smallest_units_are_exact(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Ten thousand times a billionth, and a million beside it: nothing is lost to rounding."""
    put_settings(users=["ada"], default_user_credit=0)
    for _ in range(10):
        record(*[event(price_chf="0.000000001") for _ in range(1000)])
    record(event(price_chf="1000000"))
    assert [row["balance"] for row in rows("SELECT balance FROM accounts")] == [Decimal("-1000000.00001")]
