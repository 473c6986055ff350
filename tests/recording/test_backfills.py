"""What the directory's mandates and members lack is made exactly once, whoever else makes it in the same moment."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.directory.sql.mirror import Mandate, put_mandates
from core.events.outcome import Outcome
from core.ledger.opening import KnownAccounts
from core.recording import backfill_accounts as accounts_module
from core.recording.backfill_accounts import MEMBERS_ROWS, backfill_accounts
from core.settings import backfill as settings_module
from core.settings.backfill import backfill_settings
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutAccount, PutMandate, PutSettings

Backfill = Callable[[], dict[str, int] | None]
TEN = Decimal(10)


@pytest.fixture
def backfill(database: Database, config: Configuration) -> Backfill:
    """Backfills accounts now."""
    return lambda: backfill_accounts(database, config=config, worker="test", at_once=True)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three rows."""
    monkeypatch.setattr(accounts_module, "PAGE_ROWS", 3)
    monkeypatch.setattr(accounts_module, "MEMBERS_ROWS", 3)
    monkeypatch.setattr(settings_module, "PAGE_ROWS", 3)


def made(accounts: int = 0, pools: int = 0, grants_due: int = 0, parked_released: int = 0) -> dict[str, int]:
    """The counts of a backfill of accounts."""
    return {"accounts": accounts, "pools": pools, "grants_due": grants_due, "parked_released": parked_released}


@pytest.mark.usefixtures("small_pages")
def test_settings_get_the_defaults(database: Database, make_config: Callable[..., Configuration], put_settings: PutSettings, rows: Rows) -> None:
    """Every enabled mandate without settings gets the defaults, in its own time zone; disabled ones and those that have some don't."""
    config = make_config(default_time_zone="Europe/Zurich")
    put_settings("has", BillingModel.UNLIMITED)
    zones = {"a": "Asia/Tokyo", "b": None, "c": "Mars/Olympus", "d": None, "e": None, "f": None, "g": None}
    with database.transaction() as connection:
        put_mandates(connection, [Mandate(m, m, None, enabled=m != "d", time_zone=zone) for m, zone in zones.items()])
    assert backfill_settings(database, config=config, worker="test", at_once=True) == {"settings": 6}
    assert backfill_settings(database, config=config, worker="test", at_once=True) == {"settings": 0}
    found = rows("SELECT * FROM billing_settings ORDER BY mandate_id")
    assert [(row["mandate_id"], row["time_zone"]) for row in found] == [
        *[("a", "Asia/Tokyo"), ("b", "Europe/Zurich"), ("c", "Europe/Zurich"), ("e", "Europe/Zurich"), ("f", "Europe/Zurich")],
        *[("g", "Europe/Zurich"), ("has", "UTC")],
    ]
    (first,) = rows(
        "SELECT s.billing_model, s.default_user_credit, s.warning_threshold_percent, s.block_on_zero_balance, s.notify_on_warning, s.version,"
        " h.changed_by FROM billing_settings s JOIN billing_settings_history h USING (mandate_id, version) WHERE mandate_id = 'a'"
    )
    assert tuple(first.values()) == ("PREPAY_USER", TEN, TEN, True, True, 1, "settings.backfill")


@pytest.mark.usefixtures("small_pages")
def test_accounts_grants_and_pools(
    backfill: Backfill, put_settings: PutSettings, put_mandate: PutMandate, rows: Rows, breaches: Breaches, balances: Callable[[], object]
) -> None:
    """Members of billed mandates get accounts, under PREPAY_USER with the grant, and pool models their pool; UNLIMITED and unset ones nothing."""
    put_settings("prepay", users=["a", "b", "c", "d"])
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["a", "b"])
    put_settings("empty", BillingModel.CREDIT_POSTPAY)
    put_settings("free", BillingModel.UNLIMITED, users=["a"])
    put_mandate("unset", users=["a"])
    rows("UPDATE directory_memberships SET enabled = false WHERE user_id = 'd'")
    assert backfill() == made(accounts=5, pools=2)
    expected: dict[tuple[str, str | None], Decimal] = {("prepay", user): TEN for user in "abc"}
    expected |= {("pool", user): Decimal(0) for user in ("a", "b", None)}
    assert balances() == expected | {("empty", None): Decimal(0)}
    assert rows("SELECT warning_threshold t, grant_due d FROM accounts WHERE mandate_id = 'prepay' GROUP BY 1, 2") == [{"t": Decimal(1), "d": False}]
    (grant, *others) = rows("SELECT transaction_type, reference_type, description, operation_key, account_id FROM transactions ORDER BY id")
    assert len(others) == 2
    assert tuple(grant.values()) == ("CREDIT", "SYSTEM", "Initial credit for new user", f"grant:{grant['account_id']}", grant["account_id"])
    assert backfill() == made()
    assert breaches() == {}


def test_a_due_grant_is_made_like_any_credit(
    backfill: Backfill, put_settings: PutSettings, put_mandate: PutMandate, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """A stranger's grant is made once his membership is known: the balance, the threshold, the way back over each line, and never twice."""
    put_settings("acme")
    record(event(user_id="ada", price_chf="3"), event(user_id="stranger", price_chf="1"))
    assert backfill() == made()
    put_mandate("acme", users=["ada"])
    assert backfill() == made(grants_due=1)
    assert backfill() == made()
    (ada,) = rows("SELECT balance, warning_threshold, grant_due FROM accounts WHERE user_id = 'ada'")
    assert ada == {"balance": Decimal(7), "warning_threshold": Decimal("0.7"), "grant_due": False}
    alerts = rows("SELECT kind, recovered FROM balance_alerts l JOIN accounts a ON a.id = l.account_id WHERE user_id = 'ada' ORDER BY l.id")
    assert [(row["kind"], row["recovered"]) for row in alerts] == [("ZERO", False), ("WARNING", True), ("ZERO", True)]
    assert rows("SELECT grant_due FROM accounts WHERE user_id = 'stranger'") == [{"grant_due": True}]
    assert breaches() == {}


def test_due_grants_wait_for_the_model(
    backfill: Backfill, put_settings: PutSettings, put_account: PutAccount, database: Database, make_config: Callable[..., Configuration], rows: Rows
) -> None:
    """Under UNLIMITED a due grant waits; without credit there is nothing to wait for; without a directory everybody is known."""
    put_settings("free", BillingModel.UNLIMITED, users=["ada"])
    put_settings("poor", default_user_credit=0, users=["ada"])
    put_settings("acme")
    for mandate_id in ("free", "poor", "acme"):
        put_account("ada", mandate_id=mandate_id, grant_due=True)
    assert backfill() == made()
    assert {r["mandate_id"] for r in rows("SELECT mandate_id FROM accounts WHERE grant_due")} == {"free", "acme"}
    rows("UPDATE billing_settings SET billing_model = 'PREPAY_USER' WHERE mandate_id = 'free'")
    assert backfill() == made(grants_due=1)
    config = make_config(unknown_mandates="create")
    assert backfill_accounts(database, config=config, worker="test", at_once=True) == made(grants_due=1)
    assert rows("SELECT mandate_id FROM accounts WHERE grant_due") == []


def test_parked_events_follow_the_backfill(backfill: Backfill, put_mandate: PutMandate, record: Record, balances: Callable[[], object]) -> None:
    """Parked events of mandates known by now are recorded at the end."""
    assert record(event(price_chf="1"), event(price_chf="1", mandate_id="unknown")).outcomes == [Outcome.PARKED] * 2
    put_mandate("acme", users=["ada"])
    assert backfill() == made(parked_released=1)
    assert balances() == {("acme", "ada"): Decimal(9)}


@pytest.mark.usefixtures("small_pages")
def test_backfills_race_with_first_usage(
    connect: Callable[[], Database], config: Configuration, put_mandate: PutMandate, record: Record, rows: Rows, breaches: Breaches
) -> None:
    """Backfills and first usage of the same members in the same moment make one account and one grant each."""
    users = [f"user-{n:02}" for n in range(40)]
    for mandate_id in ("acme", "beta"):
        put_mandate(mandate_id, users=users)

    def use(database: Database, mandate_id: str) -> None:
        for n in range(0, 40, 4):
            events = [event(mandate_id=mandate_id, user_id=user, price_chf="1") for user in reversed(users[n : n + 4])]
            record(*events, database=database, known_accounts=KnownAccounts())

    def fill(database: Database) -> None:
        for _ in range(5):
            backfill_settings(database, config=config, worker="test", at_once=True)
            backfill_accounts(database, config=config, worker="test", at_once=True)

    at_once(*[partial(use, connect(), m) for m in ("acme", "beta")], *[partial(fill, connect()) for _ in range(3)])
    fill(connect())
    assert rows("SELECT count(*) n, sum(balance) s FROM accounts") == [{"n": 80, "s": Decimal(80 * 9)}]
    assert rows("SELECT count(*) n FROM transactions WHERE reference_type = 'SYSTEM'") == [{"n": 80}]
    assert breaches() == {}


def test_due_grants_race(
    connect: Callable[[], Database],
    config: Configuration,
    put_settings: PutSettings,
    put_mandate: PutMandate,
    record: Record,
    rows: Rows,
    breaches: Breaches,
) -> None:
    """Due grants, made while their accounts are debited, are made once and lose no debit."""
    users = [f"user-{n:02}" for n in range(30)]
    put_settings("acme")
    record(*[event(user_id=user, price_chf="1") for user in users])
    put_mandate("acme", users=users)

    def use(database: Database) -> None:
        for _ in range(10):
            record(*[event(user_id=user, price_chf="0.1") for user in users], database=database, known_accounts=KnownAccounts())

    def fill(database: Database) -> None:
        for _ in range(5):
            backfill_accounts(database, config=config, worker="test", at_once=True)

    at_once(partial(use, connect()), *[partial(fill, connect()) for _ in range(2)])
    fill(connect())
    assert rows("SELECT count(*) n, min(balance) low, max(balance) high FROM accounts") == [{"n": 30, "low": Decimal(8), "high": Decimal(8)}]
    assert breaches() == {}


def test_a_backfill_is_done_once_per_hour(database: Database, config: Configuration, put_settings: PutSettings, rows: Rows) -> None:
    """In the same hour it is done once, in the next one again, and its row keeps what it made; a failed one is done again."""
    now = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
    put_settings("acme", users=["ada"])

    def run(now: datetime) -> dict[str, int] | None:
        return backfill_accounts(database, config=config, worker="test", clock=lambda: now)

    assert run(now) == made(accounts=1)
    assert run(now + timedelta(minutes=29)) is None
    assert run(now + timedelta(minutes=30)) == made()
    rows("UPDATE job_runs SET error = 'the database was away' WHERE period = '2026-01-31T13:00'")
    assert run(now + timedelta(minutes=40)) == made()
    found = rows("SELECT period, counts, error, worker FROM job_runs ORDER BY period")
    assert found == [
        {"period": "2026-01-31T12:00", "counts": made(accounts=1), "error": None, "worker": "test"},
        {"period": "2026-01-31T13:00", "counts": made(), "error": None, "worker": "test"},
    ]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_million_members(backfill: Backfill, put_settings: PutSettings, rows: Rows) -> None:
    """A million members get accounts and grants in transactions of bounded size, and a repetition finds nothing to do."""
    put_settings("acme")
    rows("INSERT INTO directory_memberships SELECT gen_random_uuid(), 'acme', true FROM generate_series(1, 1000000)")
    rows("ANALYZE directory_memberships")
    assert backfill() == made(accounts=1_000_000)
    assert backfill() == made()
    assert rows("SELECT count(*) n, sum(balance) s FROM accounts") == [{"n": 1_000_000, "s": Decimal(10_000_000)}]
    (largest,) = rows("SELECT max(n) n FROM (SELECT count(*) n FROM accounts GROUP BY opened_at) AS t")
    assert largest["n"] <= MEMBERS_ROWS
