"""Repairs: what doesn't follow from the ledger is brought back to it, by an operator's word, and the ledger stays as it is."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest

from core.asking.rights import ROOT, administrator
from core.billing import BillingModel
from core.database.database import Database
from core.errors import Conflict, Forbidden, NotFound, RequestRefused
from core.jobs.sql.jobs import lock_job
from core.movements.adjust import Adjustment, adjust
from core.statistics.roll_up import roll_up_usage
from core.verifying.forget_sums import Forgetting, forget_sums
from core.verifying.plan_repairs import RepairPlan, plan_repairs
from core.verifying.read_findings import list_findings
from core.verifying.reconcile import reconcile, violations_in
from core.verifying.repair import Repairs, repair_books
from core.verifying.sql import checkpoint
from core.verifying.sql.repairs import WrongBalance, WrongStatistics
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

NOTHING = RepairPlan([], [])
FORGETTING = Forgetting(reason="by hand in the console", by="olga")
Balances = Callable[[], dict[tuple[str, str | None], Decimal]]
Repair = Callable[..., Repairs]


@pytest.fixture
def repair(database: Database) -> Repair:
    """Repairs the test's books as an operator would."""
    return partial(repair_books, database, ROOT, key="ticket-1", reason="by hand in the console", by="olga")


@pytest.fixture
def account(record: Record, put_settings: PutSettings, rows: Rows, database: Database) -> int:
    """The id of ada's account, with 7 CHF left of 10, beside the pool of another mandate; all is rolled up."""
    put_settings(users=["ada"])
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    record(event(price_chf="3"), event(mandate_id="pool", price_chf="2"))
    roll_up_usage(database)
    return int(rows("SELECT id FROM accounts WHERE mandate_id = 'acme' AND user_id = 'ada'")[0]["id"])


def test_of_books_in_order_nothing_is_repaired(account: int, repair: Repair, database: Database, rows: Rows) -> None:
    """The plan is empty, and repairing writes nothing."""
    before = rows("SELECT count(*) AS n FROM operation_keys")
    assert plan_repairs(database, ROOT) == NOTHING
    assert repair() == Repairs([], [])
    assert rows("SELECT count(*) AS n FROM operation_keys") == before


def test_a_balance_becomes_what_its_ledger_says(
    account: int, repair: Repair, database: Database, rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """The plan names balance and ledger; afterwards they agree, no entry was made, and who did it, why, before and after is kept."""
    rows("UPDATE accounts SET balance = balance + 5 WHERE id = :id", id=account)
    plan = plan_repairs(database, ROOT)
    assert plan == RepairPlan([WrongBalance("acme", account, "ada", Decimal("12.000000000"), Decimal("7.000000000"))], [])
    assert plan_repairs(database, ROOT, "pool") == NOTHING
    ledger = rows("SELECT * FROM transactions ORDER BY id")
    assert balances()["acme", "ada"] == 12
    (done,) = repair().balances
    assert (done.account_id, done.old_balance, done.balance, done.by, done.reason, done.repeated) == (
        account, Decimal(12), Decimal(7), "olga", "by hand in the console", False,
    )  # fmt: skip
    assert balances()["acme", "ada"] == 7
    assert rows("SELECT * FROM transactions ORDER BY id") == ledger
    (kept,) = rows("SELECT idempotency_key, result FROM operation_keys WHERE operation = 'repair_balance'")
    assert kept["idempotency_key"] == f"repair:ticket-1:{account}"
    assert {"old_balance": "12.000000000", "balance": "7.000000000", "by": "olga"}.items() <= kept["result"].items()
    assert (plan_repairs(database, ROOT), breaches()) == (NOTHING, {})


def test_a_repair_can_be_repeated_and_its_key_is_used_up(account: int, repair: Repair, rows: Rows, balances: Balances) -> None:
    """Again it finds nothing to do; a balance that is wrong anew needs another key, and so another reason that is kept."""
    rows("UPDATE accounts SET balance = 1 WHERE id = :id", id=account)
    repair()
    assert repair() == Repairs([], [])
    rows("UPDATE accounts SET balance = 2 WHERE id = :id", id=account)
    with pytest.raises(Conflict, match="use another key"):
        repair()
    with pytest.raises(Conflict, match="was used for another repair_balance"):
        repair(reason="another")
    assert balances()["acme", "ada"] == 2
    repair(key="ticket-2")
    assert balances()["acme", "ada"] == 7


@pytest.mark.parametrize(("wrong", "alerts"), [("-5", []), ("0.5", []), ("5000", [])])
def test_who_was_never_told_of_a_line_is_told_nothing(
    account: int, repair: Repair, rows: Rows, breaches: Breaches, wrong: str, alerts: list[object]
) -> None:
    """A balance that was set across a line without an alert comes back without one."""
    rows("UPDATE accounts SET balance = CAST(:wrong AS numeric) WHERE id = :id", id=account, wrong=wrong)
    repair()
    assert rows("SELECT kind FROM balance_alerts WHERE account_id = :id", id=account) == alerts
    assert breaches() == {}


def test_a_line_that_is_crossed_in_truth_is_told(account: int, repair: Repair, record: Record, rows: Rows, breaches: Breaches) -> None:
    """Usage that a wrong balance covered is told of when the balance comes back; what was told of before isn't told twice."""
    rows("UPDATE accounts SET balance = balance + 100 WHERE id = :id", id=account)
    record(event(price_chf="8"))
    alerts = "SELECT kind, recovered FROM balance_alerts WHERE account_id = :id ORDER BY kind, id"
    assert rows(alerts, id=account) == []
    repair()
    told = [{"kind": "WARNING", "recovered": False}, {"kind": "ZERO", "recovered": False}]
    assert rows(alerts, id=account) == told
    rows("UPDATE accounts SET balance = balance + 100 WHERE id = :id", id=account)
    repair(key="ticket-2")
    assert rows(alerts, id=account) == told
    assert {invariant for invariant in breaches() if invariant != "I6"} == set()


def test_what_the_ledger_lacks_is_adjusted_afterwards(account: int, repair: Repair, rows: Rows, database: Database, breaches: Breaches) -> None:
    """An adjustment moves balance and ledger alike, so it can neither repair a balance nor is it taken back by a repair."""
    rows("UPDATE accounts SET balance = balance + 5 WHERE id = :id", id=account)
    missing = {"mandate_id": "acme", "account_id": account, "amount": "5", "reason": "paid in cash", "key": "cash", "by": "olga"}
    assert adjust(database, ROOT, Adjustment.read(missing)).balance == 17
    assert list(breaches()) == ["I3"]
    (done,) = repair().balances
    assert done.balance == 12
    assert breaches() == {}


def test_a_ledger_that_lacks_something_is_adjusted_to_the_balance(
    account: int, repair: Repair, database: Database, rows: Rows, balances: Balances, breaches: Breaches
) -> None:
    """By an adjustment the balance stays, the ledger gets one entry with the reason, and both agree; again it does nothing."""
    rows("UPDATE accounts SET balance = 4 WHERE id = :id", id=account)
    (done,) = repair(account_id=account, by_adjustment=True).balances
    assert [done.old_balance, done.balance, done.adjustment] == [Decimal(4), Decimal(4), Decimal(-3)]
    (entry,) = rows("SELECT * FROM transactions WHERE id = :id", id=done.transaction_id)
    assert (entry["transaction_type"], entry["reference_type"], entry["amount"]) == ("ADJUSTMENT", "ADJUSTMENT", -3)
    assert (entry["description"], entry["created_by_user_id"], entry["operation_key"]) == (done.reason, "olga", f"repair:ticket-1:{account}")
    assert balances()["acme", "ada"] == 4
    assert (plan_repairs(database, ROOT), breaches()) == (NOTHING, {})
    assert repair(account_id=account, by_adjustment=True) == Repairs([], [])


def test_where_entries_are_missing_an_operator_decides_account_by_account(
    account: int, repair: Repair, database: Database, rows: Rows, balances: Balances
) -> None:
    """While the ledger itself breaks an invariant no balance follows it by itself; the named one does, or keeps what it is."""
    adjust(database, ROOT, Adjustment.read({"mandate_id": "acme", "account_id": account, "amount": "-2", "reason": "x", "key": "k", "by": "olga"}))
    rows("DELETE FROM transactions WHERE reference_type = 'ADJUSTMENT'")
    rows("UPDATE accounts SET balance = balance + 1 WHERE mandate_id = 'pool' AND user_id IS NULL")
    assert plan_repairs(database, ROOT).ledger == {"I14": 1}
    with pytest.raises(RequestRefused, match="the ledger itself breaks I14, see `tollbook verify`: name an account"):
        repair()
    assert balances()["acme", "ada"] == 5
    (done,) = repair(account_id=account, by_adjustment=True).balances
    assert (done.adjustment, balances()["acme", "ada"]) == (Decimal(-2), Decimal(5))
    (pool,) = rows("SELECT id FROM accounts WHERE mandate_id = 'pool' AND user_id IS NULL")
    assert [done.account_id for done in repair(account_id=pool["id"]).balances] == [pool["id"]]
    assert plan_repairs(database, ROOT) == RepairPlan([], [], {"I14": 1})


def test_a_repair_of_a_mandate_that_does_not_exist_is_an_error(repair: Repair, database: Database) -> None:
    """A typing error must not look like books in order."""
    with pytest.raises(NotFound, match="there is no mandate 'nope'"):
        plan_repairs(database, ROOT, "nope")


def test_a_balance_is_repaired_while_usage_is_recorded(account: int, repair: Repair, record: Record, rows: Rows, breaches: Breaches) -> None:
    """Every debit is in the balance once, whether it was committed before the repair or waited for it."""
    for _ in range(5):
        rows("UPDATE accounts SET balance = balance + 1000 WHERE id = :id", id=account)
        number = rows("SELECT count(*) AS n FROM operation_keys WHERE operation = 'repair_balance'")[0]["n"]

        def record_some() -> None:
            for _ in range(10):
                record(event(price_chf="0.1"))

        at_once(record_some, record_some, partial(repair, key=f"ticket-{number}"))
    assert "I3" not in breaches()


def test_two_repairs_at_once_are_one(account: int, repair: Repair, rows: Rows, balances: Balances) -> None:
    """Whoever comes second finds the balance in order, or gets told that the key was used."""
    rows("UPDATE accounts SET balance = balance + 5 WHERE id = :id", id=account)

    def one() -> object:
        try:
            return repair()
        except Conflict as conflict:
            return conflict

    at_once(one, one)
    assert balances()["acme", "ada"] == 7
    assert len(rows("SELECT FROM operation_keys WHERE operation = 'repair_balance'")) == 1


def test_statistics_are_counted_anew(account: int, repair: Repair, database: Database, rows: Rows, breaches: Breaches) -> None:
    """Wrong, missing and surplus rows of a mandate are set right, and who asked for it is kept."""
    rows("UPDATE usage_statistics SET cost = 9 WHERE mandate_id = 'acme' AND period_type = 'DAY'")
    rows("DELETE FROM usage_statistics WHERE mandate_id = 'acme' AND period_type = 'YEAR'")
    rows("INSERT INTO usage_statistics (mandate_id, account_id, period_type, period_start, provider, model, feature_code, event_count)"
         " VALUES ('acme', 1, 'DAY', '2020-01-01', 'p', 'm', 'f', 1)")  # fmt: skip
    assert plan_repairs(database, ROOT) == RepairPlan([], [WrongStatistics("acme", 3)])
    (done,) = repair().statistics
    assert (done.mandate_id, done.rows_written, done.rows_removed, done.by) == ("acme", 2, 1, "olga")
    assert len(rows("SELECT FROM operation_keys WHERE operation = 'repair_statistics' AND mandate_id = 'acme'")) == 1
    assert (plan_repairs(database, ROOT), breaches()) == (NOTHING, {})


def test_kept_sums_begin_anew_by_an_operators_word(
    account: int, repair: Repair, database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After sums that are no longer true were let go, the next runs are full and make new ones; the finding says who decided and why."""
    monkeypatch.setattr(checkpoint, "HELD_BACK_HOURS", 0)

    def run(*, full: bool = False) -> dict[str, int]:
        counts = reconcile(database, worker="test", full=full, at_once=True)
        assert counts is not None
        return counts

    run(), run()
    rows("UPDATE reconcile_sums SET movements = movements + 1")
    assert violations_in(run(full=True)) == {"I18": len(rows("SELECT FROM reconcile_sums"))}
    assert plan_repairs(database, ROOT).ledger == {"I18": len(rows("SELECT FROM reconcile_sums"))}
    with pytest.raises(Forbidden):
        forget_sums(database, administrator("acme"), FORGETTING)
    assert forget_sums(database, ROOT, FORGETTING) > 0
    assert forget_sums(database, ROOT, FORGETTING) == 0
    assert list_findings(database, ROOT) == []
    assert {(f.resolved_by, f.resolution) for f in list_findings(database, ROOT, with_resolved=True)} == {("olga", "by hand in the console")}
    assert [run()["full"], run()["full"], run()["full"]] == [1, 1, 0]
    assert violations_in(run(full=True)) == {}


def test_sums_are_kept_while_they_are_read_and_until_an_operator_speaks(
    account: int, repair: Repair, database: Database, connect: Callable[[], Database], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deleted entry that only the sums bear witness to stops repairs, which would book it; no nightly run loses them under itself."""
    monkeypatch.setattr(checkpoint, "HELD_BACK_HOURS", 0)
    for _ in range(2):
        assert reconcile(database, worker="test", at_once=True) is not None
    rows("DELETE FROM transactions WHERE mandate_id = 'acme' AND reference_type = 'WORKFLOW'")
    rows("DELETE FROM event_keys WHERE mandate_id = 'acme'")
    with pytest.raises(RequestRefused, match="the ledger itself breaks I18"):
        repair()
    assert rows("SELECT count(*) > 0 AS kept FROM reconcile_sums") == [{"kept": True}]
    with connect().transaction() as connection:
        assert lock_job(connection, "books.reconcile")
        with pytest.raises(Conflict, match="the books are being reconciled in this moment"):
            forget_sums(database, ROOT, FORGETTING)
    assert forget_sums(database, ROOT, FORGETTING) == 1
    (finding,) = list_findings(database, ROOT, with_resolved=True, invariant="I18")
    assert (finding.resolved_by, finding.resolution) == ("olga", "by hand in the console")


@pytest.mark.parametrize("by_adjustment", [False, True])
def test_a_line_that_nobody_was_told_of_is_told_by_the_repair(
    account: int, repair: Repair, record: Record, rows: Rows, breaches: Breaches, *, by_adjustment: bool
) -> None:
    """Where the repaired balance is decides what is told, not on which side the wrong one was."""
    rows("UPDATE accounts SET balance = 0.5 WHERE id = :id", id=account)
    record(event(price_chf="6.5"))
    repair(account_id=account, by_adjustment=by_adjustment)
    lines = [("WARNING", False), ("ZERO", False)] if by_adjustment else [("WARNING", False), ("ZERO", True)]
    told = rows("SELECT DISTINCT ON (kind) kind, recovered FROM balance_alerts WHERE account_id = :id ORDER BY kind, id DESC", id=account)
    assert [(row["kind"], row["recovered"]) for row in told] == lines
    assert breaches() == {}


def test_an_adjustment_has_a_key_that_no_other_movement_can_have_by_chance(
    account: int, repair: Repair, database: Database, rows: Rows, breaches: Breaches
) -> None:
    """An adjustment under the same words is another one, and both are there once."""
    asked = {"mandate_id": "acme", "account_id": account, "amount": "1", "reason": "x", "key": f"ticket-1:{account}", "by": "olga"}
    adjust(database, ROOT, Adjustment.read(asked))
    rows("UPDATE accounts SET balance = balance + 1 WHERE id = :id", id=account)
    repair(account_id=account, by_adjustment=True)
    assert breaches() == {}


def test_an_adjustment_names_its_account(account: int, repair: Repair, rows: Rows) -> None:
    """That the balance is right is said of one account, never of all at once."""
    rows("UPDATE accounts SET balance = 1 WHERE id = :id", id=account)
    with pytest.raises(RequestRefused, match="by_adjustment: name the account whose balance is right"):
        repair(by_adjustment=True)


def test_only_root_repairs(account: int, database: Database) -> None:
    """An administrator of the mandate may neither look nor repair; and a repair says who and why."""
    with pytest.raises(Forbidden):
        plan_repairs(database, administrator("acme"))
    with pytest.raises(Forbidden):
        repair_books(database, administrator("acme"), key="k", reason="r", by="b")


def test_a_repair_needs_a_reason(account: int, repair: Repair, rows: Rows, balances: Balances) -> None:
    """Without one, or with a key that is too long, nothing is changed."""
    rows("UPDATE accounts SET balance = 1 WHERE id = :id", id=account)
    for wrong in ({"reason": ""}, {"key": "k" * 200}, {"by": ""}):
        with pytest.raises(RequestRefused):
            repair(**wrong)
    assert balances()["acme", "ada"] == 1
