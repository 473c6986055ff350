"""Statistics against a plain oracle: whatever is recorded, refunded and amended, and whenever rollups run."""

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.ledger.read_accounts import holder_account
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.refund import Refund, refund
from core.periods import PeriodType
from core.statistics.read import computed_statistics, statistics_of, statistics_of_account
from core.statistics.rebuild import Rebuild, rebuild_statistics
from core.statistics.roll_up import roll_up_usage
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

NOW = datetime(2026, 1, 3, tzinfo=UTC)
FIRST = datetime(2024, 12, 30, tzinfo=UTC)  # two ends of a year in the range
USERS, TOKENS = ["ada", "bob"], ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
ZONES = ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Zurich", "Asia/Kathmandu"]
PRICES = st.one_of(st.integers(0, 5), st.integers(0, 10**12)).map(lambda units: units * Decimal("0.000000001"))
OPTIONAL = st.sampled_from([None, "", "a", "b", "unknown"])
MOMENTS = st.one_of(
    st.integers(0, 4 * 24 * 60).map(lambda minutes: NOW - timedelta(minutes=minutes)),
    st.integers(0, 369 * 24 * 60).map(lambda minutes: FIRST + timedelta(minutes=minutes)),
)
USE = st.tuples(
    st.just("use"), st.sampled_from(USERS), PRICES, MOMENTS, OPTIONAL, OPTIONAL, OPTIONAL, st.dictionaries(st.sampled_from(TOKENS), st.integers(0, 9))
)
STEPS = st.one_of(
    st.lists(USE, min_size=1, max_size=4).map(lambda uses: ("batch", uses)),
    st.tuples(st.just("refund"), st.integers(0, 99), st.integers(1, 100)),
    st.tuples(st.just("amend"), st.integers(0, 99), PRICES),
    st.tuples(st.just("zone"), st.sampled_from(ZONES)),
    st.tuples(st.just("roll up")),
    st.tuples(st.just("rebuild")),
)
_numbers = itertools.count(1)


@dataclass
class Entry:
    """A recorded event, as the oracle remembers it: its price now, the local day of what stands for it, what was refunded."""

    event_id: str
    user: str
    price: Decimal
    occurred_at: datetime
    day: date
    names: tuple[str, str, str]
    tokens: dict[str, int]
    first_day: date  # where it is counted as an event
    refunded: dict[date, Decimal] = field(default_factory=dict)


@dataclass
class Oracle:
    """The same mandate in plain Python."""

    mandate_id: str
    zone: str
    billed: bool
    entries: list[Entry] = field(default_factory=list)
    emptied: set[tuple[str, date, tuple[str, str, str]]] = field(default_factory=set)  # groups that had something once

    def statistics(self, period_type: PeriodType) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """What every row of this type must hold, by user, start of the period and names."""
        rows: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, Decimal(0), Decimal(0), Decimal(0), *[0] * len(TOKENS)])
        for user, day, names in self.emptied:
            rows[user, period_type.start(day), *names]
        for entry in self.entries:
            rows[entry.user, period_type.start(entry.first_day), *entry.names][0] += 1
            row = rows[entry.user, period_type.start(entry.day), *entry.names]
            row[1] += entry.price
            row[2] += entry.price if self.billed else 0
            for n, name in enumerate(TOKENS):
                row[4 + n] += entry.tokens.get(name, 0)
            for day, amount in entry.refunded.items():
                rows[entry.user, period_type.start(day), *entry.names][3] += amount
        return {key: tuple(row) for key, row in rows.items()}


@dataclass
class Books:
    """The mandate in the books; each step is done in both."""

    database: Database
    record: Record
    rows: Rows
    oracle: Oracle

    def apply(self, step: tuple[Any, ...]) -> None:
        """Does one step in the books and in the oracle."""
        oracle = self.oracle
        match step:
            case ("batch", uses):
                self._use(uses)
            case ("refund", number, percent) if oracle.entries:
                self._refund(oracle.entries[number % len(oracle.entries)], percent)
            case ("amend", number, price) if oracle.entries:
                self._amend(oracle.entries[number % len(oracle.entries)], price)
            case ("zone", zone):
                self._change_zone(zone)
            case ("roll up",):
                assert roll_up_usage(self.database).complete
            case ("rebuild",):
                assert rebuild_statistics(self.database, ROOT, oracle.mandate_id).rows_written == 0

    def _use(self, uses: Iterable[tuple[Any, ...]]) -> None:
        batch = []
        for _, user, price, moment, provider, model, feature, tokens in uses:
            one = event(mandate_id=self.oracle.mandate_id, user_id=user, price_chf=str(price), occurred_at=moment.isoformat(), usage=tokens)
            one |= {name: value for name, value in (("provider", provider), ("model", model), ("feature_code", feature)) if value is not None}
            batch += [one, one][: 1 + len(tokens) % 2]  # now and then a copy, which counts for nothing
            day = moment.astimezone(ZoneInfo(self.oracle.zone)).date()
            names = (_named(provider), _named(model), _named(feature))
            self.oracle.entries.append(Entry(str(one["event_id"]), user, price, moment, day, names, tokens, day))
        self.record(*batch, clock=lambda: NOW)

    def _refund(self, entry: Entry, percent: int) -> None:
        left = entry.price - sum(entry.refunded.values(), Decimal(0))
        amount = (left * percent / 100).quantize(Decimal("0.000000001"))
        if amount <= 0 or amount > left:
            return
        (standing,) = self.rows(
            "SELECT max(id) AS id FROM transactions WHERE mandate_id = :m AND event_id = :e AND transaction_type = 'DEBIT'",
            m=self.oracle.mandate_id,
            e=entry.event_id,
        )
        asked = {"mandate_id": self.oracle.mandate_id, "transaction_id": standing["id"], "amount": amount, "key": f"k{next(_numbers)}", "by": "test"}
        refund(self.database, ROOT, Refund.read(asked))
        entry.refunded[entry.day] = entry.refunded.get(entry.day, Decimal(0)) + amount

    def _amend(self, entry: Entry, price: Decimal) -> None:
        if entry.refunded or price == entry.price:
            return
        new = NewPrice.read({"mandate_id": self.oracle.mandate_id, "event_id": entry.event_id, "price_chf": str(price)})
        amend_prices(self.database, ROOT, [new], key=f"k{next(_numbers)}", by="test", worker="test")
        self.oracle.emptied.add((entry.user, entry.day, entry.names))
        entry.price, entry.day = price, entry.occurred_at.astimezone(ZoneInfo(self.oracle.zone)).date()

    def _change_zone(self, zone: str) -> None:
        self.rows("UPDATE billing_settings SET time_zone = :zone, version = version + 1 WHERE mandate_id = :m", zone=zone, m=self.oracle.mandate_id)
        self.rows(
            "INSERT INTO billing_settings_history SELECT (jsonb_populate_record(h, to_jsonb(s) || jsonb_build_object("
            "'changed_by', 'test', 'after_transaction_id', coalesce(pg_sequence_last_value('transactions_id_seq'), 0)))).*"
            " FROM billing_settings s JOIN billing_settings_history h ON h.mandate_id = s.mandate_id AND h.version = 1 WHERE s.mandate_id = :m",
            m=self.oracle.mandate_id,
        )
        self.oracle.zone = zone

    def stored(self, period_type: PeriodType) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """The rows of this type, by user, start of the period and names."""
        found = {}
        for user in {entry.user for entry in self.oracle.entries}:
            account = holder_account(self.database, ROOT, self.oracle.mandate_id, user)
            for year in (2024, 2025, 2026):
                for row in statistics_of_account(self.database, ROOT, account.id, period_type, year):
                    sums = (row.event_count, row.cost, row.billed_cost, row.refunded, *(getattr(row, name) for name in TOKENS))
                    found[user, row.period_start, row.provider, row.model, row.feature_code] = sums
        return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zone=st.sampled_from(ZONES),
    model=st.sampled_from(BillingModel),
    steps=st.lists(STEPS, min_size=1, max_size=12),
    range_=st.tuples(st.integers(-2, 370), st.integers(0, 370)),
)
def test_statistics_are_those_of_the_oracle(
    database: Database,
    record: Record,
    rows: Rows,
    put_settings: PutSettings,
    breaches: Breaches,
    zone: str,
    model: BillingModel,
    steps: list[tuple[Any, ...]],
    range_: tuple[int, int],
) -> None:
    """Rolled up bit by bit, rebuilt, and added up in plain Python: the same. What is stored agrees with what transactions give for any days."""
    mandate_id = f"m{next(_numbers)}"
    put_settings(mandate_id, model, users=USERS, time_zone=zone)
    oracle = Oracle(mandate_id, zone, model is not BillingModel.UNLIMITED)
    books = Books(database, record, rows, oracle)
    for step in steps:
        books.apply(step)
    assert breaches() == {}  # also with something pending
    assert roll_up_usage(database).complete
    for period_type in PeriodType:
        assert books.stored(period_type) == oracle.statistics(period_type)
    assert rebuild_statistics(database, ROOT, mandate_id) == Rebuild(1, sum(len(oracle.statistics(p)) for p in PeriodType), 0, 0)
    rows("DELETE FROM usage_statistics WHERE mandate_id = :m", m=mandate_id)
    rebuild_statistics(database, ROOT, mandate_id)
    for period_type in PeriodType:
        assert books.stored(period_type) == oracle.statistics(period_type)
    first = FIRST.date() + timedelta(days=range_[0])
    for user in {entry.user for entry in oracle.entries}:
        _agree(database, mandate_id, user, first, first + timedelta(days=range_[1]))


def _named(name: str | None) -> str:
    return "unknown" if name is None else name


def _agree(database: Database, mandate_id: str, user: str, first: date, last: date) -> None:
    """Of these days stored and computed statistics are the same, whatever the stored ones are shown by."""
    computed = computed_statistics(database, ROOT, holder_account(database, ROOT, mandate_id, user).id, first, last)
    for by in PeriodType:
        stored = statistics_of(database, ROOT, mandate_id, user, by, first, last).rows
        assert sum(row.event_count for row in stored) == computed.transaction_count
        for name, costs in (("provider", computed.cost_by_provider), ("model", computed.cost_by_model), ("feature_code", computed.cost_by_feature)):
            sums: dict[str, Decimal] = defaultdict(Decimal)
            for row in stored:
                sums[getattr(row, name)] += row.cost
            assert sums == costs
            assert sum(sums.values()) == computed.total_cost_chf
