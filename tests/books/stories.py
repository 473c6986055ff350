"""Books with a past: usage, movements, corrections and switches of one mandate, recorded over some months."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.database.zones import local_day
from core.errors import RequestRefused
from core.movements.adjust import Adjustment, adjust
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.refund import Refund, refund
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.movements.update_settings import update_settings
from tests.conftest import Record, Rows
from tests.sample_events import event

NOW = datetime.now(UTC).replace(microsecond=0)
AGED_DAYS_MAX, USED_DAYS_AGO = 75, st.integers(76, 140)  # usage stays older than its recording
ZONES = ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Zurich", "Asia/Kathmandu", "CET", "Atlantic/Azores"]
USERS = ["ada", "bob", "cid"]
AMOUNTS = st.one_of(st.integers(1, 9), st.integers(1, 10**11)).map(lambda units: units * Decimal("0.000000001"))
NAMES = st.sampled_from([None, "", "a", "b", "unknown"])
USE = st.tuples(st.sampled_from(USERS), AMOUNTS, USED_DAYS_AGO, st.integers(0, 24 * 60), NAMES, NAMES, NAMES)
USES = st.lists(USE, min_size=1, max_size=4).map(lambda uses: ("use", uses))
STEP = st.one_of(
    USES,
    st.tuples(st.just("refund"), st.integers(0, 99), st.integers(1, 100)),
    st.tuples(st.just("amend"), st.integers(0, 99), AMOUNTS),
    st.tuples(st.just("amend"), st.integers(0, 99), AMOUNTS),
    st.tuples(st.just("top up"), st.integers(0, 9), AMOUNTS),
    st.tuples(st.just("adjust"), st.integers(0, 9), AMOUNTS, st.sampled_from([1, -1])),
    st.tuples(st.just("switch"), st.sampled_from(BillingModel)),
    st.tuples(st.just("zone"), st.sampled_from(ZONES)),
    st.tuples(st.just("age"), st.integers(1, 40)),
)
STORIES = st.tuples(USES, STEP, STEP, STEP, STEP, STEP, STEP, USES, STEP, STEP, STEP, STEP).flatmap(
    lambda steps: st.integers(1, len(steps)).map(lambda length: steps[:length])
)  # each begins with usage, and most are long
_numbers = itertools.count(1)


@dataclass
class Story:
    """One mandate, and what happens to it step by step; a step that the rules refuse does nothing."""

    database: Database
    record: Record
    rows: Rows
    config: Configuration
    mandate_id: str
    aged_days: int = 0
    event_ids: list[str] = field(default_factory=list)

    def apply(self, steps: Iterable[tuple[Any, ...]]) -> None:
        """Does the steps in their order."""
        for step in steps:
            try:
                self._apply(step)
            except RequestRefused:
                continue

    def _apply(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("use", uses):
                self._use(uses)
            case ("refund", number, percent):
                self._refund(number, percent)
            case ("amend", number, price):
                event_id = self.event_ids[number % len(self.event_ids)]
                new = NewPrice.read({"mandate_id": self.mandate_id, "event_id": event_id, "price_chf": str(price)})
                amend_prices(self.database, ROOT, [new], key=_key(), by="olga", worker="test")
            case ("top up", number, amount):
                top_up(self.database, ROOT, TopUp.read({**self._holder(number), "amount": amount}))
            case ("adjust", number, amount, sign):
                adjust(self.database, ROOT, Adjustment.read({**self._holder(number), "amount": sign * amount, "reason": "so agreed"}))
            case ("switch", model):
                switch_billing_model(self.database, ROOT, ModelSwitch.read({**self._asked(), "billing_model": model}))
            case ("zone", zone):
                update_settings(self.database, ROOT, self.mandate_id, {"time_zone": zone}, changed_by="olga", config=self.config)
            case ("age", days):
                days = min(days, AGED_DAYS_MAX - self.aged_days)
                self._age(timedelta(days=days))
                self.aged_days += days

    def _use(self, uses: Iterable[tuple[Any, ...]]) -> None:
        batch = []
        for user, price, days_ago, minutes, provider, model, feature in uses:
            occurred_at = NOW - timedelta(days=days_ago, minutes=minutes)
            one = event(mandate_id=self.mandate_id, user_id=user, price_chf=str(price), occurred_at=occurred_at.isoformat())
            named = {name: value for name, value in (("provider", provider), ("model", model), ("feature_code", feature)) if value is not None}
            usage = {"input_tokens": minutes, "output_tokens": days_ago, "cached_input_tokens": minutes // 2, "cache_write_tokens": 3}
            batch.append({**one, **named, "usage": usage | ({"reasoning_tokens": days_ago // 3} if minutes % 2 else {})})
        self.event_ids += [str(one["event_id"]) for one in batch]
        self.record(*batch, clock=lambda: NOW)

    def _refund(self, number: int, percent: int) -> None:
        found = self.rows("SELECT id, amount FROM transactions WHERE mandate_id = :m ORDER BY id", m=self.mandate_id)
        entry = found[number % len(found)]
        amount = (abs(entry["amount"]) * percent / 100).quantize(Decimal("0.000000001"))
        refund(self.database, ROOT, Refund.read({**self._asked(), "transaction_id": entry["id"], "amount": amount}))

    def _holder(self, number: int) -> dict[str, Any]:
        """One of the mandate's accounts, and now and then another one whose balance is moved."""
        ids = [row["id"] for row in self.rows("SELECT id FROM accounts WHERE mandate_id = :m ORDER BY id", m=self.mandate_id)]
        payer = {"balance_account_id": ids[(number + 1) % len(ids)]} if number > 6 else {}
        return {**self._asked(), "account_id": ids[number % len(ids)], **payer}

    def _asked(self) -> dict[str, Any]:
        return {"mandate_id": self.mandate_id, "key": _key(), "by": "olga"}

    def _age(self, by: timedelta) -> None:
        """All that is recorded was recorded so much earlier; movements happened earlier too, usage when it did."""
        zone = "(SELECT time_zone FROM billing_settings_history h WHERE h.mandate_id = t.mandate_id AND h.version = t.settings_version)"
        self.rows(
            "UPDATE transactions t SET recorded_at = recorded_at - :by,"
            " occurred_at = CASE WHEN event_id IS NULL THEN occurred_at - :by ELSE occurred_at END,"
            f" local_date = CASE WHEN event_id IS NULL THEN {local_day('(occurred_at - :by)', zone)} ELSE local_date END WHERE mandate_id = :m",
            by=by,
            m=self.mandate_id,
        )
        for table, column in (
            ("accounts", "opened_at"),
            ("amendments", "recorded_at"),
            ("amendments", "reversed_recorded_at"),
            ("event_keys", "recorded_at"),
            ("operation_keys", "recorded_at"),
            ("refunds", "recorded_at"),
            ("billing_settings_history", "changed_at"),
        ):
            self.rows(f"UPDATE {table} SET {column} = {column} - :by WHERE mandate_id = :m", by=by, m=self.mandate_id)


def new_mandate_id() -> str:
    """A mandate that no other story has."""
    return f"m{next(_numbers)}"


def months(since: date) -> list[date]:
    """The first days of the months from that of `since` to the present one, which is another one where it is tomorrow already."""
    found = [since.replace(day=1)]
    while found[-1] < (NOW + timedelta(days=1)).date().replace(day=1):
        found.append((found[-1] + timedelta(days=31)).replace(day=1))
    return found


def _key() -> str:
    return f"k{next(_numbers)}"
