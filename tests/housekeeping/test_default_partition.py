"""Whoever reads or writes a month while it gets a partition of its own waits for that, or is told to try again: the data is not at fault."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import sleep

import pytest
from sqlalchemy import Connection

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.errors import BadData, StorageUnavailable
from core.housekeeping.sql.housekeeping import ensure_partitions, move_default_month
from core.ledger.opening import KnownAccounts
from core.movements.adjust import Adjustment, adjust
from core.movements.refund import Refund, refund
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.recording.backfill_accounts import backfill_accounts
from core.recording.record_usage import record_usage
from core.recording.release_parked import release_parked
from core.statistics.roll_up import roll_up_usage
from tests.conftest import Record, Rows
from tests.jobs.test_jobs import partitions
from tests.sample_events import event, raw
from tests.scene import Breaches, PutMandate, PutSettings

Write = Callable[[], object]
WRITERS = ["record", "release", "top_up", "adjust", "refund", "switch", "backfill", "roll_up"]


@pytest.fixture
def writers(
    database: Database, config: Configuration, rows: Rows, record: Record, put_settings: PutSettings, put_mandate: PutMandate
) -> dict[str, Write]:
    """Books whose present month lies in the default partition, and everything that would write another entry into it."""
    rows(f"DROP TABLE {', '.join(partitions(rows))}")
    put_settings(users=["ada"])
    record(event(event_id="first"), event(event_id="parked", mandate_id="new"), event(user_id="stranger"))
    put_mandate(users=["stranger"])
    put_mandate("new", users=["ada"])
    assert rows("SELECT count(*) AS n FROM transactions_default")[0]["n"] >= 3
    asked = {"mandate_id": "acme", "key": "k", "by": "olga"}
    account_id = rows("SELECT id FROM accounts WHERE mandate_id = 'acme' AND user_id = 'ada'")[0]["id"]
    first = rows("SELECT id FROM transactions WHERE event_id = 'first'")[0]["id"]
    usage = [raw(event(event_id="second"))]
    known = KnownAccounts()
    return {
        "record": lambda: record_usage(database, usage, config=config, known_accounts=known, worker="test"),
        "release": lambda: release_parked(database, config=config, known_accounts=known, worker="test"),
        "top_up": lambda: top_up(database, ROOT, TopUp(**asked, account_id=account_id, amount="5")),
        "adjust": lambda: adjust(database, ROOT, Adjustment(**asked, account_id=account_id, amount="-5", reason="r")),
        "refund": lambda: refund(database, ROOT, Refund(**asked, transaction_id=first)),
        "switch": lambda: switch_billing_model(database, ROOT, ModelSwitch(**asked, billing_model=BillingModel.PREPAY_MANDATE)),
        "backfill": lambda: backfill_accounts(database, config=config, worker="test", at_once=True),
        "roll_up": lambda: roll_up_usage(database),
    }


def met(write: Write, owner_database: Database, rows: Rows, keep: Callable[[Connection], object]) -> Future[object]:
    """What became of `write`, begun while what `keep` did was not committed yet, and committed once it waits for it."""
    with ThreadPoolExecutor(1) as pool, owner_database.transaction() as keeping:
        keep(keeping)
        written = pool.submit(write)
        while not rows("SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"):
            assert not written.done()
            sleep(0.005)
    return written


@pytest.mark.parametrize("name", WRITERS)
def test_who_meets_the_move_waits_and_finds_what_was_moved(
    name: str, writers: dict[str, Write], owner_database: Database, rows: Rows, breaches: Breaches
) -> None:
    """It is done once the move has committed, as if there had been none: no entry is refused, and none that it reads is missing."""
    rows_made = "SELECT (SELECT count(*) FROM transactions) + (SELECT count(*) FROM usage_statistics) AS n"
    before = rows(rows_made)[0]["n"]
    met(writers[name], owner_database, rows, move_default_month).result(30)
    assert rows(rows_made)[0]["n"] > before
    assert rows("SELECT FROM dead_letters") == []
    assert rows("SELECT FROM transactions_default") == []
    assert breaches() == {}


def test_a_recorder_that_meets_a_new_partition_may_try_again(
    writers: dict[str, Write], owner_database: Database, rows: Rows, breaches: Breaches
) -> None:
    """A month that begins in the default partition while its own is attached: the database can't answer now, and the event is no dead letter."""
    rows("SELECT move_default_month()")
    (month,) = partitions(rows)
    rows(f"ALTER TABLE transactions DETACH PARTITION {month}")
    rows(f"ALTER TABLE {month} RENAME TO the_month_before")
    written = met(writers["record"], owner_database, rows, lambda connection: ensure_partitions(connection, 0))
    with pytest.raises(StorageUnavailable, match="23514"):
        written.result(30)
    rows(f"INSERT INTO {month} SELECT * FROM the_month_before")
    writers["record"]()
    assert rows("SELECT count(*) AS n FROM transactions WHERE event_id = 'second'") == [{"n": 1}]
    assert rows("SELECT FROM dead_letters") == []
    assert breaches() == {}


def test_a_check_that_data_breaks_is_still_bad_data(rows: Rows) -> None:
    """A constraint of a table has a name; a row that belongs into no partition breaks none."""
    with pytest.raises(BadData, match="23514"):
        rows("INSERT INTO usage_statistics (mandate_id, account_id, period_type, period_start, provider, model, feature_code)"
             " VALUES ('m', 1, 'WEEK', now(), 'p', 'm', 'f')")  # fmt: skip
