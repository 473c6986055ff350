"""Statements: opening + movements = closing, month after month, by what the ledger itself says."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.event import listen

from core.asking.rights import ROOT, administrator, user
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import Forbidden, NotFound, RequestRefused, StorageUnavailable
from core.ledger.read_accounts import holder_account
from core.money import ZERO
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.top_up import TopUp, top_up
from core.reports.sql.stated_entries import MANDATE, OF_MANDATE, taken_back
from core.reports.stated import BalanceMonth, Statement
from core.reports.statement import statement
from core.statistics.read import computed_statistics, days_in
from core.statistics.roll_up import roll_up_usage
from tests.books.plans import nodes
from tests.books.stories import NOW, STORIES, USERS, ZONES, Story, months, new_mandate_id
from tests.books.test_view_plans import entries_read
from tests.conftest import DatabaseUrls, Record, Row, Rows
from tests.database.test_database import MakeConfig
from tests.importing.test_import_books import Take, take
from tests.sample_events import event
from tests.scene import Breaches, PutMandate, PutSettings

__all__ = ["take"]

KINDS = {"PAYMENT": "top_ups", "SYSTEM": "grants", "REFUND": "refunds", "ADJUSTMENT": "adjustments", "SWITCH": "switches", "AMENDMENT": "amendments",
         "WORKFLOW": "usage"}  # fmt: skip
TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
LEDGER = """
    SELECT t.*, o.local_date AS corrected_day, o.provider AS p, o.model AS m, o.feature_code AS f, o.input_tokens AS i, o.output_tokens AS u,
           o.cached_input_tokens AS c, o.cache_write_tokens AS w, o.reasoning_tokens AS r,
           b.user_id AS payer, a.user_id AS about
      FROM transactions t LEFT JOIN transactions o ON o.id = t.reverses_id
      JOIN accounts a ON a.id = t.account_id LEFT JOIN accounts b ON b.id = t.balance_account_id
     WHERE t.mandate_id = :mandate_id
"""
Sums = dict[Any, list[Any]]


def _is_reversal(entry: Row) -> bool:
    return (entry["reference_type"], entry["transaction_type"]) == ("AMENDMENT", "ADJUSTMENT")


def _month(entry: Row) -> date:
    """The month that an entry counts for."""
    day: date = entry["corrected_day"] if _is_reversal(entry) else entry["local_date"]
    return day.replace(day=1)


def expected_account(ledger: list[Row], month: date, *, pool: bool, user_id: str | None = None) -> BalanceMonth:
    """What the ledger, read entry by entry, says of the pool, or of the users' accounts, or of one of them."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for entry in ledger:
        if entry["balance_account_id"] is None or (entry["payer"] is None) is not pool or _month(entry) > month:
            continue
        if user_id is not None and entry["payer"] != user_id:
            continue
        delta = -entry["amount"] if entry["transaction_type"] == "DEBIT" else entry["amount"]
        sums["closing"] += delta
        sums["opening" if _month(entry) < month else KINDS[entry["reference_type"]]] += delta
    return BalanceMonth(**{field.name: sums[field.name] for field in fields(BalanceMonth)})


def expected_usage(ledger: list[Row], month: date) -> dict[str, Sums]:
    """Events, cost, billed cost and tokens by day, model, feature and user, by the ledger read entry by entry."""
    sums: dict[str, Sums] = {by: defaultdict(lambda: [0, Decimal(0), Decimal(0), 0, 0, 0, 0, 0]) for by in ("day", "model", "feature", "user")}
    for entry in ledger:
        back = _is_reversal(entry)
        if _month(entry) != month or not (back or entry["transaction_type"] == "DEBIT"):
            continue
        sign = -1 if back else 1
        names = [entry[name] for name in ("p", "m", "f", "i", "u", "c", "w", "r")] if back else [
            entry[name] for name in ("provider", "model", "feature_code", *TOKENS)
        ]  # fmt: skip
        provider, model, feature = ("unknown" if name is None else name for name in names[:3])
        day = entry["corrected_day"] if back else entry["local_date"]
        figures = [
            int(entry["reference_type"] == "WORKFLOW"),
            sign * entry["amount"],
            sign * entry["amount"] * (entry["balance_account_id"] is not None),
        ]
        figures += [sign * (tokens or 0) for tokens in names[3:]]
        for by, name in (("day", day), ("model", (provider, model)), ("feature", feature), ("user", entry["about"])):
            sums[by][name] = [a + b for a, b in zip(sums[by][name], figures, strict=True)]
    return {by: dict(rows) for by, rows in sums.items()}


def stated_usage(found: Statement) -> dict[str, Sums]:
    """The same figures of a statement."""

    def figures(row: Any) -> list[Any]:
        assert row.unbilled_cost == row.cost - row.billed_cost
        return [row.event_count, row.cost, row.billed_cost, *(getattr(row, name) for name in TOKENS)]

    return {
        "day": {row.day: figures(row) for row in found.by_day},
        "model": {(row.provider, row.model): figures(row) for row in found.by_model},
        "feature": {row.feature_code: figures(row) for row in found.by_feature},
        "user": {row.user_id: figures(row) for row in found.by_user},
    }


def check_statement(found: Statement, ledger: list[Row]) -> None:
    """Every figure is the ledger's, every list adds up to the same total, and opening + movements = closing."""
    ledger = [entry for entry in ledger if entry["recorded_at"] < found.as_of]
    assert found.pool == expected_account(ledger, found.first, pool=True)
    assert found.users == expected_account(ledger, found.first, pool=False)
    assert stated_usage(found) == expected_usage(ledger, found.first)
    unpaid = [
        entry for entry in ledger if entry["reference_type"] == "REFUND" and entry["balance_account_id"] is None and _month(entry) == found.first
    ]
    assert found.unbilled_refunds == sum((entry["amount"] for entry in unpaid), ZERO)
    for account in (found.total, found.pool, found.users):
        assert account.opening + sum(getattr(account, kind) for kind in KINDS.values()) == account.closing
    for name in (field.name for field in fields(BalanceMonth)):
        assert getattr(found.total, name) == getattr(found.pool, name) + getattr(found.users, name)
    assert found.usage.billed_cost == -(found.total.usage + found.total.amendments)
    check_parts(found)


def check_parts(found: Statement) -> None:
    """Every list adds up to its total: movements by kind to the lines of the balance, all usage to the same total."""
    assert (found.movements_left_out, found.parts_left_out) == (0, 0)
    for kind in set(KINDS.values()) - {"usage"}:
        for pool, account in ((True, found.pool), (False, found.users)):
            assert sum((m.amount for m in found.movements if m.kind == kind and m.is_pool is pool), ZERO) == getattr(account, kind)
    assert [m.day for m in found.movements] == sorted(m.day for m in found.movements)
    for rows in (found.by_day, found.by_model, found.by_feature, found.by_user, found.by_user_model_feature):
        for name in ("event_count", "cost", "billed_cost", "unbilled_cost", *TOKENS):
            assert sum(getattr(row, name) for row in rows) == getattr(found.usage, name)


def check_user(found: Statement, ledger: list[Row]) -> None:
    """The statement of one user is the ledger's: their own balance, and the usage about them, whoever paid for it."""
    assert found.user_id is not None
    ledger = [entry for entry in ledger if entry["recorded_at"] < found.as_of]
    assert found.total == found.users == expected_account(ledger, found.first, pool=False, user_id=found.user_id)
    assert {m.user_id for m in found.movements} <= {found.user_id, None}
    own = [entry for entry in ledger if entry["about"] == found.user_id]
    paid_by_others = [{**entry, "balance_account_id": None} if entry["payer"] != found.user_id else entry for entry in own]
    assert stated_usage(found) == expected_usage(paid_by_others, found.first)
    check_parts(found)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zone=st.sampled_from(ZONES), model=st.sampled_from(BillingModel), steps=STORIES, hours=st.integers(0, 24 * 80))
def test_statements_are_what_the_ledger_says(
    database: Database,
    record: Record,
    rows: Rows,
    put_settings: PutSettings,
    breaches: Breaches,
    config: Configuration,
    zone: str,
    model: BillingModel,
    steps: tuple[tuple[Any, ...], ...],
    hours: int,
) -> None:
    """Whatever happened: all figures are the ledger's, months chain, the last one closes with the balances, and a moment has one answer."""
    mandate_id = new_mandate_id()
    put_settings(mandate_id, model, users=USERS[:2], time_zone=zone)
    story = Story(database, record, rows, config, mandate_id)
    story.apply([*steps, ("age", 1)])
    assert breaches() == {}
    ledger = rows(LEDGER, mandate_id=mandate_id)
    first = min([NOW.date(), *(_month(entry) for entry in ledger)])
    moments = [None, NOW - timedelta(hours=hours)]
    for as_of in moments:
        try:
            found = [statement(database, ROOT, mandate_id, month, as_of) for month in months(first)]
        except NotFound:
            assert as_of is not None
            assert not [entry for entry in ledger if entry["recorded_at"] < as_of]
            continue
        accounts = rows("SELECT user_id FROM accounts WHERE mandate_id = :m AND user_id IS NOT NULL", m=mandate_id)
        for account in accounts:
            check_user(statement(database, ROOT, mandate_id, found[-1].first, found[-1].as_of, user_id=account["user_id"]), ledger)
        for before, after in zip([None, *found[:-1]], found, strict=True):
            check_statement(after, ledger)
            assert after.total.opening == (before.total.closing if before else 0)
        story.apply([("use", [("ada", Decimal(1), 100, 0, None, None, None)]), ("amend", 0, Decimal(7)), ("top up", 0, Decimal(5))])
        if as_of is None:
            balance = sum(row["balance"] for row in rows("SELECT balance FROM accounts WHERE mandate_id = :m", m=mandate_id)) - _since(
                rows, found[-1]
            )
            assert found[-1].total.closing == balance
        again = [statement(database, ROOT, mandate_id, one.first, one.as_of) for one in found]
        assert again == [replace(one, held=None) for one in found]  # what is held is of now alone


def _since(rows: Rows, found: Statement) -> Decimal:
    """What moved the mandate's balances since a statement was made."""
    (row,) = rows(
        "SELECT coalesce(sum(CASE transaction_type WHEN 'DEBIT' THEN -amount ELSE amount END), 0) AS moved FROM transactions"
        " WHERE mandate_id = :m AND balance_account_id IS NOT NULL AND recorded_at >= :as_of",
        m=found.mandate_id,
        as_of=found.as_of,
    )
    return Decimal(row["moved"])


@pytest.fixture
def of(database: Database) -> Callable[..., Statement]:
    """The statement of acme for a month such as 2026-01, as root."""
    return lambda month, as_of=None: statement(database, ROOT, "acme", date.fromisoformat(f"{month}-01"), as_of)


def at(time: str) -> Callable[[], datetime]:
    """A clock that stands there."""
    return partial(datetime.fromisoformat, time)


def test_usage_is_that_of_the_statistics(
    of: Callable[..., Statement], database: Database, record: Record, rows: Rows, put_settings: PutSettings
) -> None:
    """By user it is what is computed from the transactions, altogether what the rollup has stored."""
    put_settings(users=["ada", "bob"])
    for n in range(40):
        one = event(user_id=("ada", "bob")[n % 2], price_chf=f"0.{n}", model=f"m{n % 3}", occurred_at=f"2026-01-{n % 31 + 1:02}T10:00:00Z")
        record(one, clock=at("2026-02-01T00:00:00Z"))
    found = of("2026-01")
    for row in found.by_user:
        account = holder_account(database, ROOT, "acme", row.user_id)
        computed = computed_statistics(database, ROOT, account.id, *days_in(2026, 1))
        assert (row.cost, row.event_count) == (computed.total_cost_chf, computed.transaction_count)
    roll_up_usage(database)
    (stored,) = rows(
        "SELECT sum(event_count) AS events, sum(cost) AS cost, sum(billed_cost) AS billed FROM usage_statistics"
        " WHERE period_type = 'MONTH' AND period_start = '2026-01-01'"
    )
    assert (stored["events"], stored["cost"], stored["billed"]) == (found.usage.event_count, found.usage.cost, found.usage.billed_cost)
    assert [row.cost for row in found.by_model] == sorted((row.cost for row in found.by_model), reverse=True)


def test_days_are_local(of: Callable[..., Statement], record: Record, put_settings: PutSettings) -> None:
    """A month begins and ends at the mandate's midnight, and what is recorded after its end still counts for it."""
    put_settings(users=["ada"], time_zone="Pacific/Kiritimati")
    clock = at("2026-02-02T00:00:00Z")
    record(*[event(occurred_at=moment) for moment in ("2026-01-31T09:59:59.999999Z", "2026-01-31T10:00:00Z")], clock=clock)
    january, february = of("2026-01"), of("2026-02")
    assert ([row.day for row in january.by_day], [row.day for row in february.by_day]) == ([date(2026, 1, 31)], [date(2026, 2, 1)])
    assert (january.late_event_count, january.ended, january.time_zone) == (1, True, "Pacific/Kiritimati")


def test_a_month_that_is_not_over_says_so(of: Callable[..., Statement], put_settings: PutSettings, rows: Rows) -> None:
    """By the mandate's own clocks, at the moment that is asked for."""
    put_settings(users=["ada"], time_zone="Etc/GMT+12")
    rows("UPDATE billing_settings_history SET changed_at = '2025-12-01T00:00:00Z'")
    assert [of("2026-01", datetime.fromisoformat(f"2026-02-01T{time}Z")).ended for time in ("11:59:59", "12:00:00")] == [False, True]


def test_the_billing_models_of_the_month_are_named(of: Callable[..., Statement], put_settings: PutSettings, rows: Rows) -> None:
    """The one that it began with, and each that came in it; other changes of the settings are none."""
    put_settings(users=["ada"])
    rows("UPDATE billing_settings_history SET changed_at = '2025-12-30T00:00:00Z'")
    for version, model, day in ((2, "PREPAY_USER", "2026-01-03"), (3, "PREPAY_MANDATE", "2026-01-10"), (4, "UNLIMITED", "2026-02-01")):
        rows(
            "INSERT INTO billing_settings_history SELECT (jsonb_populate_record(h, jsonb_build_object('version', CAST(:version AS int),"
            " 'billing_model', CAST(:model AS text), 'changed_at', CAST(:day AS text)))).* FROM billing_settings_history h WHERE version = 1",
            version=version,
            model=model,
            day=day,
        )
    shown = {month: [(m.billing_model, m.since) for m in of(month).billing_models] for month in ("2025-11", "2025-12", "2026-01", "2026-03")}
    assert shown == {
        "2025-11": [],
        "2025-12": [("PREPAY_USER", date(2025, 12, 30))],
        "2026-01": [("PREPAY_USER", None), ("PREPAY_MANDATE", date(2026, 1, 10))],
        "2026-03": [("UNLIMITED", None)],
    }
    assert (of("2026-01").settings_version, of("2026-01", datetime(2026, 1, 11, tzinfo=UTC)).settings_version) == (4, 3)


def newest_month(rows: Rows) -> str:
    """That of the books' newest day: this one, if none has begun since the test did."""
    (row,) = rows("SELECT to_char(max(local_date), 'YYYY-MM') AS month FROM transactions")
    return str(row["month"])


def test_imported_books_are_history_and_an_adjustment(take: Take, of: Callable[..., Statement], rows: Rows, breaches: Breaches) -> None:
    """Old usage is shown as not billed, old credits move nothing, and the opening balance is an adjustment of the day of the import."""
    take()
    old, now = of("2024-01"), of(newest_month(rows))
    assert (old.usage.event_count, old.usage.unbilled_cost, old.usage.billed_cost) == (2, Decimal("7.5"), ZERO)
    assert (old.total.opening, old.total.closing, old.total.top_ups, len(old.billing_models)) == (ZERO, ZERO, ZERO, 0)
    assert (now.total.adjustments, now.users.closing, now.pool.closing) == (Decimal("14.25"), Decimal("14.25"), ZERO)
    assert breaches() == {}


def put_movements(database: Database, record: Record, put_settings: PutSettings) -> None:
    """A January in which ada uses 3 and 4 CHF, and today a payment of 20, an adjustment of -1.5, and corrections of both days to 2 CHF."""
    put_settings(users=["ada", "bob"])
    events = [event(event_id=f"e{n}", price_chf=f"{n}", occurred_at=f"2026-01-{n:02}T10:00:00Z", model="gpt", feature_code="chat") for n in (3, 4)]
    record(*events, event(user_id="bob", price_chf="0.5", occurred_at="2026-01-04T10:00:00Z"), clock=at("2026-02-01T00:00:00Z"))
    account = holder_account(database, ROOT, "acme", "ada").id
    top_up(database, ROOT, TopUp.read({"mandate_id": "acme", "account_id": account, "amount": "20", "key": "invoice 7", "by": "olga"}))
    new = [NewPrice.read({"mandate_id": "acme", "event_id": one["event_id"], "price_chf": "2"}) for one in events]
    amend_prices(database, ROOT, new, key="list of May", by="otto", worker="test")


def test_movements_say_what_why_under_which_key_and_by_whom(
    database: Database, record: Record, put_settings: PutSettings, of: Callable[..., Statement], rows: Rows
) -> None:
    """Each entry on its day; corrections of usage as one line for each day and key, on the days of the usage."""
    put_movements(database, record, put_settings)
    january, now = of("2026-01"), of(newest_month(rows))
    assert [(m.day.day, m.kind, m.amount, m.reason, m.key, m.by, m.user_id, m.entry_count) for m in january.movements] == [
        (3, "amendments", Decimal(1), "amend_prices", "list of May", "otto", None, 2),
        (4, "amendments", Decimal(2), "amend_prices", "list of May", "otto", None, 2),
    ]
    paid = [m for m in now.movements if m.kind == "top_ups"]
    assert [(m.amount, m.reason, m.key, m.by, m.user_id, m.is_pool, m.entry_count) for m in paid] == [
        (Decimal(20), "Top-up", "invoice 7", "olga", "ada", False, 1)
    ]
    assert {(m.kind, m.user_id, m.by) for m in now.movements if m.kind == "grants"} == {("grants", "ada", None), ("grants", "bob", None)}


def test_a_statement_of_one_user(database: Database, record: Record, put_settings: PutSettings) -> None:
    """Their own balance and usage: 7 CHF used, 3 given back by corrections; another user's half a franc is not in it."""
    put_movements(database, record, put_settings)
    found = statement(database, user("ada"), "acme", date(2026, 1, 1), user_id="ada")
    assert (found.user_id, found.total.usage, found.total.amendments, found.total.closing) == ("ada", Decimal(-7), Decimal(3), Decimal(-4))
    assert [(p.user_id, p.model, p.feature_code, p.cost) for p in found.by_user_model_feature] == [("ada", "gpt", "chat", Decimal(4))]
    whole = statement(database, ROOT, "acme", date(2026, 1, 1))
    assert [(p.user_id, p.model, p.feature_code, p.event_count, p.cost) for p in whole.by_user_model_feature] == [
        ("ada", "gpt", "chat", 2, Decimal(4)),
        ("bob", "unknown", "unknown", 1, Decimal("0.5")),
    ]
    for actor, whom in ((user("bob"), "ada"), (user("ada"), None)):
        with pytest.raises(Forbidden):
            statement(database, actor, "acme", date(2026, 1, 1), user_id=whom)
    with pytest.raises(NotFound, match="mandate 'acme' has no account of user 'nobody'"):
        statement(database, ROOT, "acme", date(2026, 1, 1), user_id="nobody")


def test_who_may_read_a_statement(database: Database, record: Record, put_settings: PutSettings) -> None:
    """Root and the mandate's administrator; neither another one nor the mandate's users."""
    put_settings(users=["ada"])
    record(event())
    month = NOW.date()
    assert statement(database, administrator("acme", "other"), "acme", month).mandate_name == "acme's name"
    for actor in (administrator("other"), user("ada")):
        with pytest.raises(Forbidden, match="may not read the statement of mandate 'acme'"):
            statement(database, actor, "acme", month)


def test_what_has_no_statement_is_named(of: Callable[..., Statement], put_mandate: PutMandate, put_settings: PutSettings, database: Database) -> None:
    """A mandate without settings, a moment before it had some, a year too far ahead."""
    put_mandate("acme")
    with pytest.raises(NotFound, match="mandate 'acme' is known, and has no billing settings yet"):
        of("2026-01")
    with pytest.raises(NotFound, match="mandate 'acme' is known, and has no billing settings yet"):
        of("2026-01", datetime(2026, 1, 1, tzinfo=UTC))
    put_settings("other")
    with pytest.raises(NotFound, match="mandate 'other' had no billing settings yet at 2020-01-01T00:00:00"):
        statement(database, ROOT, "other", date(2026, 1, 1), datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(RequestRefused, match="month: 9999-01 is too far ahead"):
        of("9999-01")


def test_a_moment_ahead_is_now(of: Callable[..., Statement], put_settings: PutSettings) -> None:
    """What is to come is not known."""
    put_settings(users=["ada"])
    asked = NOW + timedelta(days=400)
    assert of("2026-01", asked).as_of < asked


def test_a_movement_about_the_pool_and_one_about_a_user_stand_apart(
    of: Callable[..., Statement], database: Database, record: Record, rows: Rows, put_settings: PutSettings
) -> None:
    """A pool's top-up counts for the pool, a grant for the users; the total has both."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    rows_of = {"mandate_id": "acme", "key": "invoice", "by": "olga", "amount": "7"}
    top_up(database, ROOT, TopUp.read({**rows_of, "account_id": holder_account(database, ROOT, "acme", "ada").id}))
    found = of(newest_month(rows))
    assert [found.pool.closing, found.users.top_ups, found.users.grants, found.total.closing] == [ZERO, 7, 10, 14]


def test_only_who_is_patient_waits(database_urls: DatabaseUrls, make_config: MakeConfig, put_settings: PutSettings) -> None:
    """A query ends by the ordinary timeout, as by message; only the command and Python may have it take as long as it takes."""
    put_settings(users=["ada"])
    database = Database(database_urls.worker, make_config(statement_timeout_seconds=7))
    limits = []

    def saw(connection: Any, _cursor: object, statement: str, *_: object) -> None:
        if "FROM transactions" in statement:
            limits.append(connection.exec_driver_sql("SHOW statement_timeout").scalar_one())

    listen(database._engine, "before_cursor_execute", saw)
    for patient in (False, True):
        statement(database, ROOT, "acme", NOW.date(), patient=patient)
    database.dispose()
    assert set(limits[: len(limits) // 2]) == {"7s"}
    assert set(limits[len(limits) // 2 :]) == {"0"}


def test_who_is_not_patient_is_told(
    database_urls: DatabaseUrls, make_config: MakeConfig, put_settings: PutSettings, owner_database: Database
) -> None:
    """What ended it, and that there is another way."""
    put_settings(users=["ada"])
    database = Database(database_urls.worker, make_config(statement_timeout_seconds=0.1))
    with owner_database.transaction() as connection:
        connection.execute(text("LOCK TABLE amendments"))
        with pytest.raises(StorageUnavailable, match=r"statement timeout: TOLLBOOK_STATEMENT_TIMEOUT_SECONDS is .* commands that read much"):
            statement(database, ROOT, "acme", NOW.date())
    database.dispose()


def test_amended_usage_counts_where_it_happened(
    database: Database, record: Record, put_settings: PutSettings, rows: Rows, of: Callable[..., Statement]
) -> None:
    """Whether it had been recorded when it happened, or weeks late."""
    put_settings(users=["ada"])
    events = [event(price_chf="3", occurred_at="2026-01-10T10:00:00Z") for _ in range(4)]
    record(*events, clock=at("2026-02-01T00:00:00Z"))
    new = [NewPrice.read({"mandate_id": "acme", "event_id": one["event_id"], "price_chf": "2"}) for one in events]
    amend_prices(database, ROOT, new, key="k", by="olga", worker="test")
    for remainder, moment in enumerate(("2026-01-10T11:00:00Z", "2026-01-30T00:00:00Z")):
        asked = {"moment": moment, "remainder": remainder}
        rows("UPDATE transactions SET recorded_at = :moment WHERE reference_type = 'WORKFLOW' AND id % 2 = :remainder", **asked)
        rows("UPDATE amendments SET reversed_recorded_at = :moment WHERE reversed_id % 2 = :remainder", **asked)
    stated = [(found.usage.cost, found.total.amendments, found.total.closing) for found in map(of, ("2026-01", "2026-02"))]
    assert stated == [(Decimal(8), Decimal(4), Decimal(-8)), (ZERO, ZERO, Decimal(-8))]


OLD_AMENDMENTS = (
    """
    INSERT INTO transactions (id, mandate_id, event_id, account_id, transaction_type, amount, reference_type, description, occurred_at,
                              recorded_at, local_date, settings_version)
    SELECT n, 'acme', n, 1, 'DEBIT', 1, 'WORKFLOW', '', '2026-01-10', '2026-01-10', '2026-01-10', 1 FROM generate_series(1, 5000) n
    """,
    """
    INSERT INTO amendments (mandate_id, event_id, number, operation, idempotency_key, reversed_id, reversed_recorded_at, reversal_id, debit_id,
                            recorded_at)
    SELECT 'acme', n, 1, 'amend_prices', 'k', n, '2026-01-10', n, n, '2026-01-11' FROM generate_series(1, 5000) n
    """,
    "ANALYZE transactions, amendments",
)


def test_amendments_of_other_months_are_not_followed(owner_database: Database) -> None:
    """A statement reads the entries that were taken back of its own month, however many there are of others."""
    query = f"EXPLAIN (ANALYZE, FORMAT JSON) {taken_back(MANDATE, 't.id')}"
    read = []
    with owner_database.transaction() as connection:
        for statement_of_old in OLD_AMENDMENTS:
            connection.execute(text(statement_of_old))
        for month in (1, 2):
            first, last = days_in(2026, month)
            plan = connection.execute(text(query), {"mandate_id": "acme", "first": first, "last": last, "as_of": NOW}).scalar_one()
            scans = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name", "").startswith("transactions")]
            read.append(sum(map(entries_read, scans)))
    assert read[0] >= 5000
    assert read[1] == 0


@pytest.mark.parametrize(
    "query", [OF_MANDATE.moved, OF_MANDATE.itemised, OF_MANDATE.moved_since, OF_MANDATE.used], ids=["moved", "itemised", "since", "used"]
)
def test_no_statement_reads_other_mandates_entries(query: object, owner_database: Database, put_settings: PutSettings) -> None:
    """Every partition is read through an index."""
    put_settings()
    parameters = {
        "mandate_id": "acme",
        "first": date(2026, 1, 1),
        "last": date(2026, 1, 31),
        "as_of": NOW,
        "ends_at": NOW,
        "pool_id": 1,
        "parts_max": 9,
    }
    with owner_database.transaction() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(f"EXPLAIN {query}"), parameters).scalars().all()
    assert [line for line in plan if "Seq Scan on transactions" in line] == []
    assert any("_mandate_id_" in line for line in plan)
