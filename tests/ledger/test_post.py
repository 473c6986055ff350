"""`post` and recording, which moves balances by a statement of its own, obey the same rules."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.billing import BillingModel
from core.database.database import Database
from core.errors import RequestRefused
from core.events.model import UsageEvent
from core.ledger.entry import Entry
from core.ledger.hold import locked_accounts, present_settings
from core.ledger.kinds import ADJUSTMENT, KINDS, TOP_UP, USAGE, EntryKind
from core.ledger.post import post
from core.money import AMOUNT_MAX
from tests.conftest import Record, Rows
from tests.sample_events import OCCURRED_AT, event
from tests.scene import PutAccount, PutSettings

PRICES = st.sampled_from(["0", "0.000000001", "0.5", "1", "4", "9", "10"])


@pytest.fixture(scope="module")
def worlds() -> Iterator[int]:
    """A number for each pair of mandates."""
    return count()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    model=st.sampled_from([BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE, BillingModel.CREDIT_POSTPAY]),
    limit=st.sampled_from([None, 0, 12]),
    batches=st.lists(st.lists(PRICES, min_size=1, max_size=4), min_size=1, max_size=4),
)
def test_usage_and_post_obey_the_same_rules(
    model: BillingModel,
    limit: int | None,
    batches: list[list[str]],
    worlds: Iterator[int],
    database: Database,
    record: Record,
    rows: Rows,
    put_settings: PutSettings,
    put_account: PutAccount,
) -> None:
    """The same sequence of debits, recorded here and posted there, leaves the same entries, balances, thresholds and alerts."""
    world = next(worlds)
    recorded, posted = f"recorded{world}", f"posted{world}"
    accounts = {}
    for mandate_id in (recorded, posted):
        put_settings(mandate_id, model)
        user = put_account("ada", "10" if model is BillingModel.PREPAY_USER else "0", mandate_id=mandate_id, warning_threshold=1)
        more = {"credit_limit": limit} if model is BillingModel.CREDIT_POSTPAY else {}
        balance = "10" if model is BillingModel.PREPAY_MANDATE else "0"
        pool = put_account(None, balance, mandate_id=mandate_id, warning_threshold=1, **more) if model.pool_pays else user
        accounts[mandate_id] = user, pool
    user, payer = accounts[posted]
    for batch in batches:
        record(*[event(mandate_id=recorded, user_id="ada", price_chf=price) for price in batch])
        with database.transaction() as connection:
            own = present_settings(connection, posted)
            events = [
                UsageEvent(event_id=f"e{next(worlds)}", mandate_id=posted, user_id="ada", price_chf=Decimal(p), occurred_at=OCCURRED_AT)
                for p in batch
            ]
            entries = [Entry(own, USAGE, user, payer, Decimal(e.price_chf or 0), USAGE.description, "ada", "k", event=e) for e in events]
            post(connection, entries, locked_accounts(connection, posted, {user, payer}))
    assert _state(rows, recorded) == _state(rows, posted)


def _state(rows: Rows, mandate_id: str) -> list[list[dict[str, Any]]]:
    of = "WHERE mandate_id = :mandate_id ORDER BY"
    queries = (
        f"SELECT transaction_type, reference_type, amount, description, created_by_user_id, settings_version FROM transactions {of} id",
        f"SELECT user_id, balance, warning_threshold, credit_limit, grant_due, alert_count FROM accounts {of} user_id NULLS FIRST",
        f"SELECT kind, recovered, balance_before, balance_after, threshold, settings_version FROM balance_alerts {of} id",
    )
    return [rows(query, mandate_id=mandate_id) for query in queries]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: f"{kind.transaction_type} {kind.reference_type}")
def test_each_kind_moves_as_its_row_says(kind: EntryKind, database: Database, rows: Rows, put_settings: PutSettings, put_account: PutAccount) -> None:
    """By its sign, with a new threshold where it refills, and no further than there is room where it has none beyond."""
    put_settings()
    account_id = put_account("ada", "20", warning_threshold=1)

    def posted(amount: Decimal) -> None:
        with database.transaction() as connection:
            entry = Entry(present_settings(connection, "acme"), kind, account_id, account_id, amount, "d", "olga", "k")
            post(connection, [entry], locked_accounts(connection, "acme", {account_id}))

    posted(Decimal(10))
    balance = 10 if kind.transaction_type == "DEBIT" else 30
    assert rows("SELECT balance, warning_threshold FROM accounts") == [{"balance": balance, "warning_threshold": balance / 10 if kind.refills else 1}]
    if kind.has_room:
        with pytest.raises(RequestRefused, match="beyond what the books can hold"):
            posted(Decimal(AMOUNT_MAX))
    else:
        posted(Decimal(AMOUNT_MAX))


def test_entries_of_one_balance_move_it_once(database: Database, rows: Rows, put_settings: PutSettings, put_account: PutAccount) -> None:
    """By their sum: what is crossed and come back from in between is not told, and the ids follow the order given."""
    put_settings()
    account_id = put_account("ada", "20", warning_threshold=1)
    with database.transaction() as connection:
        own = present_settings(connection, "acme")
        entries = [
            Entry(own, kind, account_id, account_id, Decimal(amount), "d", "olga", "k")
            for kind, amount in ((ADJUSTMENT, -30), (TOP_UP, 5), (ADJUSTMENT, 25))
        ]
        done = post(connection, entries, locked_accounts(connection, "acme", {account_id}))
    assert rows("SELECT balance, warning_threshold FROM accounts") == [{"balance": 20, "warning_threshold": 2}]
    assert rows("SELECT FROM balance_alerts") == []
    assert [row["amount"] for row in rows("SELECT amount FROM transactions ORDER BY id")] == [-30, 5, 25]
    assert done.transaction_ids == [row["id"] for row in rows("SELECT id FROM transactions ORDER BY id")]
