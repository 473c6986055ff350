"""Many workers at once: one account, one grant, one debit; nothing lost, nothing doubled, nobody stuck."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from random import Random

import pytest

from core.billing import BillingModel
from core.database.database import Database
from core.events.outcome import BatchResult, Outcome
from core.ledger.opening import KnownAccounts
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import body_of, event
from tests.scene import PutAccount, PutMandate, PutSettings

RECORDED, DUPLICATE, CONFLICT, PARKED = Outcome.RECORDED, Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.PARKED
WORKERS = 4
Connect = Callable[[], Database]
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
Batch = list[dict[str, object]]
DRIFTED = """
    SELECT a.id, a.balance FROM accounts a LEFT JOIN transactions t ON t.balance_account_id = a.id
     GROUP BY a.id HAVING a.balance <> coalesce(sum(CASE t.transaction_type WHEN 'DEBIT' THEN -t.amount ELSE t.amount END), 0)
"""


@pytest.fixture
def record_at_once(record: Record, connect: Connect) -> Callable[..., list[BatchResult]]:
    """Records several batches at the same moment, each with connections and a memory of accounts of its own."""
    databases = [connect() for _ in range(2 * WORKERS)]

    def call(*batches: Batch) -> list[BatchResult]:
        return at_once(
            *[partial(record, *batch, database=one, known_accounts=KnownAccounts()) for one, batch in zip(databases, batches, strict=False)]
        )

    return call


RecordAtOnce = Callable[..., list[BatchResult]]


def _counted(results: list[BatchResult]) -> Counter[Outcome]:
    return Counter(outcome for result in results for outcome in result.outcomes)


def test_copies_in_several_workers_are_recorded_once(record_at_once: RecordAtOnce, rows: Rows, put_mandate: PutMandate) -> None:
    """The same batch in four workers at once: each event once recorded, three times a duplicate, in whatever order it comes."""
    put_mandate(users=["ada", "bob"])
    for seed in range(6):
        batch = [event(user_id=("ada", "bob")[n % 2], price_chf="0.001") for n in range(50)]
        batches = [Random(seed + worker).sample(batch, len(batch)) for worker in range(WORKERS)]
        assert _counted(record_at_once(*batches)) == {RECORDED: 50, DUPLICATE: 150}
    assert rows("SELECT count(*) AS n, sum(amount) AS total FROM transactions WHERE reference_type = 'WORKFLOW'") == [
        {"n": 300, "total": Decimal("0.3")}
    ]
    assert rows(DRIFTED) == []
    assert rows("SELECT * FROM dead_letters") == []


@pytest.mark.parametrize("model", BillingModel)
def test_a_first_usage_in_many_workers_opens_one_account(
    model: BillingModel, record_at_once: RecordAtOnce, rows: Rows, put_settings: PutSettings
) -> None:
    """One user account, one pool where it pays, one grant where it is due, for each of ten mandates."""
    for number in range(10):
        put_settings(f"m{number}", model, users=["ada"])
    batches = [[event(mandate_id=f"m{n}", price_chf="0.5") for n in Random(worker).sample(range(10), 10)] for worker in range(2 * WORKERS)]
    assert _counted(record_at_once(*batches)) == {RECORDED: 20 * WORKERS}
    grants = 10 if model is BillingModel.PREPAY_USER else 0
    assert len(rows("SELECT * FROM transactions WHERE reference_type = 'SYSTEM'")) == len(rows("SELECT * FROM operation_keys")) == grants
    assert len(rows("SELECT * FROM accounts")) == (20 if model.pool_pays else 10)
    assert rows(DRIFTED) == []


def test_settings_are_opened_once(record_at_once: RecordAtOnce, rows: Rows, put_mandate: PutMandate) -> None:
    """The first usage of a mandate in many workers makes one row of settings and one of history."""
    names = [f"m{number}" for number in range(20)]
    for name in names:
        put_mandate(name, users=["ada"])
    batches = [[event(mandate_id=name) for name in Random(worker).sample(names, len(names))] for worker in range(2 * WORKERS)]
    assert _counted(record_at_once(*batches)) == {RECORDED: 40 * WORKERS}
    for table in ("billing_settings", "billing_settings_history", "accounts"):
        assert len(rows(f"SELECT * FROM {table}")) == 20
    assert len(rows("SELECT * FROM transactions WHERE reference_type = 'SYSTEM'")) == 20


def test_of_several_payloads_at_once_one_is_recorded(record_at_once: RecordAtOnce, rows: Rows, put_settings: PutSettings, balances: Balances) -> None:
    """Four workers deliver four payloads under one key: one is charged, the others are dead letters that tell the difference."""
    put_settings(users=["ada"], default_user_credit=0)
    for _ in range(10):
        first = event()
        payloads = [{**first, "price_chf": str(price)} for price in (1, 2, 3, 4)]
        assert _counted(record_at_once(*[[payload] for payload in payloads])) == {RECORDED: 1, CONFLICT: 3}
        (debit,) = rows("SELECT amount FROM transactions WHERE event_id = :event_id", event_id=first["event_id"])
        letters = rows("SELECT body, difference FROM dead_letters WHERE event_id = :event_id", event_id=first["event_id"])
        assert {bytes(letter["body"]) for letter in letters} == {
            body_of(payload) for payload in payloads if Decimal(str(payload["price_chf"])) != debit["amount"]
        }
        assert all(Decimal(letter["difference"]["price_chf"][0]) == debit["amount"] for letter in letters)
    (total,) = rows("SELECT sum(amount) AS amount FROM transactions")
    assert balances() == {("acme", "ada"): -total["amount"]}


def test_batches_in_opposite_orders_do_not_block_each_other(record_at_once: RecordAtOnce, rows: Rows, put_settings: PutSettings) -> None:
    """Overlapping events, accounts and pools in shuffled orders: every batch commits, none is a deadlock's victim."""
    users = [f"user{number}" for number in range(12)]
    for number, model in enumerate(BillingModel):
        put_settings(f"m{number}", model, users=users[:8])
    random = Random(7)
    for _ in range(8):
        pool = [event(mandate_id=f"m{random.randrange(4)}", user_id=random.choice(users), price_chf="0.01") for _ in range(60)]
        batches = [random.sample(pool, 45) for _ in range(WORKERS)]
        unique = {str(e["event_id"]) for batch in batches for e in batch}
        assert _counted(record_at_once(*batches)) == {RECORDED: len(unique), DUPLICATE: 45 * WORKERS - len(unique)}
    assert rows(DRIFTED) == []


def test_the_same_accounts_in_opposite_orders_do_not_block_each_other(record_at_once: RecordAtOnce, rows: Rows, put_settings: PutSettings) -> None:
    """Different events, of which one batch has the users from the first to the last and another from the last to the first: every batch commits."""
    users = [f"user{number:03}" for number in range(200)]
    put_settings(users=users)
    record_at_once([event(user_id=user) for user in users])
    for _ in range(4):
        batches = [[event(user_id=user) for user in users[::way]] for way in (1, -1, 1, -1)]
        assert _counted(record_at_once(*batches)) == {RECORDED: len(users) * WORKERS}
    assert rows(DRIFTED) == []


def test_overlapping_first_usages_do_not_block_each_other(record_at_once: RecordAtOnce, rows: Rows, put_settings: PutSettings) -> None:
    """Batches that open many of the same accounts, each a different part of them: every batch commits, each account is opened once."""
    put_settings(users=[])
    random = Random(11)
    for round_number in range(8):
        users = [f"user{round_number}-{number}" for number in range(200)]
        batches = [[event(user_id=user) for user in random.sample(users, random.randrange(40, 200))] for _ in range(2 * WORKERS)]
        assert set(_counted(record_at_once(*batches))) == {RECORDED}
    assert rows("SELECT user_id FROM accounts GROUP BY user_id HAVING count(*) > 1") == []
    assert rows(DRIFTED) == []


def test_one_hot_pool_loses_no_debit(record_at_once: RecordAtOnce, rows: Rows, put_settings: PutSettings, put_account: PutAccount) -> None:
    """Every worker debits the same pool, and each line is crossed in exactly one batch."""
    put_settings(model=BillingModel.PREPAY_MANDATE, users=["ada"])
    put_account(None, "10", warning_threshold=1)
    for _ in range(10):
        record_at_once(*[[event(price_chf="0.05") for _ in range(10)] for _ in range(WORKERS)])
    (pool,) = rows("SELECT balance FROM accounts WHERE user_id IS NULL")
    assert pool["balance"] == Decimal(10) - 10 * WORKERS * 10 * Decimal("0.05")
    alerts = rows("SELECT kind, balance_before, balance_after FROM balance_alerts ORDER BY id")
    assert [alert["kind"] for alert in alerts] == ["WARNING", "ZERO"]
    assert alerts[0]["balance_before"] > 1 >= alerts[0]["balance_after"]
    assert alerts[1]["balance_before"] >= 0 > alerts[1]["balance_after"]


def test_an_unknown_mandate_parks_each_event_once(record_at_once: RecordAtOnce, rows: Rows) -> None:
    """Copies in several workers: one parked, the others duplicates."""
    batch = [event() for _ in range(30)]
    batches = [Random(worker).sample(batch, len(batch)) for worker in range(WORKERS)]
    assert _counted(record_at_once(*batches)) == {PARKED: 30, DUPLICATE: 90}
    assert len(rows("SELECT * FROM parked_events")) == 30


def test_two_releases_at_once_record_each_parked_event_once(
    record: Record, release: Callable[..., BatchResult], connect: Connect, rows: Rows, put_mandate: PutMandate
) -> None:
    """What one takes the other leaves alone, and copies delivered meanwhile are duplicates."""
    batch = [event(price_chf="0.01") for _ in range(100)]
    assert set(record(*batch).outcomes) == {PARKED}
    put_mandate(users=["ada"])
    results = at_once(
        partial(release, database=connect(), known_accounts=KnownAccounts()),
        partial(release, database=connect(), known_accounts=KnownAccounts()),
        partial(record, *batch[:50], database=connect(), known_accounts=KnownAccounts()),
        partial(record, *batch[50:], database=connect(), known_accounts=KnownAccounts()),
    )
    results += [release() for _ in range(3)]
    assert _counted(results)[RECORDED] == 100
    assert set(_counted(results)) <= {RECORDED, DUPLICATE}
    assert rows("SELECT count(*) AS n, sum(amount) AS total FROM transactions WHERE reference_type = 'WORKFLOW'") == [{"n": 100, "total": Decimal(1)}]
    assert rows("SELECT * FROM parked_events") == []
    assert rows(DRIFTED) == []


def test_the_same_bad_bytes_in_several_workers_are_one_dead_letter(record_at_once: RecordAtOnce, rows: Rows) -> None:
    """Attempts add up exactly, in whatever order the bytes come."""
    bad = [f"bad {number}".encode() for number in range(20)]
    for seed in range(5):
        record_at_once(*[Random(seed + worker).sample(bad, len(bad)) for worker in range(WORKERS)])
    assert [letter["attempts"] for letter in rows("SELECT attempts FROM dead_letters")] == [5 * WORKERS] * 20


def test_a_refused_event_in_one_worker_does_not_disturb_the_others(
    record_at_once: RecordAtOnce, rows: Rows, put_settings: PutSettings, put_account: PutAccount
) -> None:
    """Halved and whole batches over the same copies: all good events once, each refused one a dead letter."""
    put_settings(users=["ada"])
    put_settings("brink", BillingModel.PREPAY_MANDATE, users=["ada"])
    put_account(None, mandate_id="brink")
    rows("ALTER TABLE accounts ADD CONSTRAINT brink CHECK (mandate_id <> 'brink' OR balance >= -0.5)")
    good = [event(price_chf="0.01") for _ in range(30)]
    bad = [event(mandate_id="brink", price_chf="1") for _ in range(WORKERS)]
    results = record_at_once(*[[*good[:15], one, *good[15:]] for one in bad])
    assert _counted(results) == {RECORDED: 30, DUPLICATE: 90, Outcome.REJECTED: WORKERS}
    assert {row["reason"] for row in rows("SELECT reason FROM dead_letters")} == {"data_error"}
    assert len(rows("SELECT * FROM event_keys")) == 30


def test_threads_may_share_one_database_and_one_memory_of_accounts(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """As the threads of one worker process do."""
    put_settings(users=["ada", "bob"])
    work = [partial(record, *[event(user_id=user, price_chf="0.01") for user in ("ada", "bob", "eve")]) for _ in range(WORKERS)]
    for _ in range(5):
        at_once(*work)
    assert len(rows("SELECT * FROM accounts")) == 3
    assert rows("SELECT count(*) AS n FROM transactions WHERE reference_type = 'WORKFLOW'") == [{"n": 3 * WORKERS}]
    assert rows(DRIFTED) == []
