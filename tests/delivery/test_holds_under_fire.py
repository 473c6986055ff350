"""Holds while several processes work on one mandate and are killed: nothing is granted twice, lost, or kept for ever."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.caps.set_cap import NewCap, set_cap
from core.database.database import Database
from core.holds.expire import expire_holds
from core.movements.set_credit_limit import CreditLimit, set_credit_limit
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from lab.oracle import fire as judge
from tests.conftest import DatabaseUrls, Rows
from tests.delivery.fire_journal import read_journals
from tests.delivery.fire_process import CAPS, MANDATE, USERS, Plan
from tests.scene import Breaches, PutSettings

ROOT_FOLDER = Path(__file__).resolve().parents[2]

# What the books were when a hold was committed, as whoever held its account saw them; and each settlement of a hold. A process of which the
# clock jumps tells its own time by that of its hold; for the others it is the database's.
_WATCH = """
    CREATE TABLE fire_grants (hold_key text, amount numeric, billing_model text, block_on_zero_balance boolean, credit_limit numeric,
                              balance numeric, held numeric, over numeric);
    CREATE TABLE fire_settlements (mandate_id text, hold_key text, state text, captured numeric, released numeric, expired numeric);
    CREATE FUNCTION fire_granted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
        now timestamptz := CASE WHEN NEW.hold_key LIKE '0.%' THEN NEW.authorised_at ELSE clock_timestamp() END;
    BEGIN
        INSERT INTO fire_grants
        SELECT h.hold_key, h.amount, s.billing_model, s.block_on_zero_balance, a.credit_limit, a.balance, a.held,
               (SELECT coalesce(sum(o.amount - o.captured), 0) FROM holds o
                 WHERE o.mandate_id = a.mandate_id AND o.settled_at IS NULL AND o.balance_account_id = a.id AND o.expires_at <= now)
          FROM holds h JOIN accounts a ON a.id = h.balance_account_id JOIN billing_settings s ON s.mandate_id = h.mandate_id
         WHERE h.mandate_id = NEW.mandate_id AND h.hold_key = NEW.hold_key AND h.state = 'OPEN';
        RETURN NULL;
    END $$;
    CREATE FUNCTION fire_settled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    BEGIN
        INSERT INTO fire_settlements VALUES (NEW.mandate_id, NEW.hold_key, NEW.state, NEW.captured, NEW.released, NEW.expired);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER fire_granted AFTER INSERT ON holds DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fire_granted();
    CREATE TRIGGER fire_settled AFTER UPDATE ON holds FOR EACH ROW WHEN (OLD.settled_at IS NULL AND NEW.settled_at IS NOT NULL)
        EXECUTE FUNCTION fire_settled();
    CREATE TRIGGER fire_captured AFTER INSERT ON holds FOR EACH ROW WHEN (NEW.settled_at IS NOT NULL) EXECUTE FUNCTION fire_settled()
"""
# What takes a debit back tells nothing of it.
_ENTRIES = """
    SELECT t.*, coalesce(o.created_by_user_id, t.created_by_user_id) AS user_id, coalesce(o.provider, t.provider) AS provider,
           coalesce(o.model, t.model) AS model, coalesce(o.feature_code, t.feature_code) AS feature_code
      FROM transactions t LEFT JOIN transactions o ON o.id = t.reverses_id WHERE t.mandate_id = :mandate
"""


class Scene:
    """A mandate that burns, and what is left of it."""

    def __init__(self, urls: DatabaseUrls, folder: Path, database: Database, rows: Rows, breaches: Breaches) -> None:
        self.urls, self.folder, self.database, self.rows, self.breaches = urls, folder, database, rows, breaches
        self.watched_since = datetime.now(UTC)
        rows(_WATCH)

    def pay(self, holder: str | None, amount: str) -> None:
        """A payment before the fire."""
        (row,) = self.rows("SELECT id FROM accounts WHERE mandate_id = :m AND user_id IS NOT DISTINCT FROM :u", m=MANDATE, u=holder)
        asked = {"mandate_id": MANDATE, "account_id": row["id"], "amount": amount, "key": f"first payment {holder}", "by": "test"}
        top_up(self.database, ROOT, TopUp.read(asked))

    def burn(self, **plan: Any) -> Counter[str]:
        """The fire; how often what happened."""
        whole = Plan(url=self.urls.worker, folder=str(self.folder), moment=self.watched_since.isoformat(), **plan)
        command = [sys.executable, "-m", "tests.delivery.fire", whole.write()]
        ended = subprocess.run(command, cwd=ROOT_FOLDER, capture_output=True, text=True, timeout=whole.seconds + 120, check=False)
        errors = "".join(path.read_text() for path in self.folder.glob("*.error"))
        assert not errors, errors
        assert ended.returncode == 0, ended.stderr
        return Counter(json.loads(ended.stdout.splitlines()[-1]))

    def judge(self) -> None:
        """Asserts that the books are in order, whatever was answered."""
        accounts, holds = (self.rows(f"SELECT * FROM {table} WHERE mandate_id = :m", m=MANDATE) for table in ("accounts", "holds"))
        entries = self.rows(_ENTRIES, mandate=MANDATE)
        caps, counters = self.rows("SELECT * FROM caps"), self.rows("SELECT * FROM cap_counters")
        wrong = [
            *judge.held_is_what_holds_keep(accounts, holds),
            *judge.nothing_was_over_granted(self.rows("SELECT * FROM fire_grants")),
            *judge.each_is_settled_once(holds, self.rows("SELECT * FROM fire_settlements")),
            *judge.nothing_is_lost(holds, entries),
            *judge.balances_are_their_entries(accounts, entries),
            *judge.counters_are_their_debits(caps, counters, entries, holds),
            *judge.answers_are_true(read_journals(self.folder), holds, entries),
        ]
        assert not wrong, "\n".join(wrong[:20])
        assert self.breaches() == {}
        (seen,) = self.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert seen["deadlocks"] == 0, "everybody takes locks in one order"

    def sweep(self, now: datetime) -> None:
        """After a sweep nothing is left that is over."""
        expire_holds(self.database, clock=now)
        holds = self.rows("SELECT * FROM holds WHERE mandate_id = :m", m=MANDATE)
        assert not list(judge.nothing_outlives_its_end(holds, self.rows("SELECT * FROM parked_events"), now))


@pytest.fixture
def scene(tmp_path: Path, database_urls: DatabaseUrls, database: Database, rows: Rows, breaches: Breaches, put_settings: PutSettings) -> Scene:
    """A mandate with users, whose pool pays."""
    put_settings(MANDATE, users=USERS, default_user_credit=0)
    pool = {"mandate_id": MANDATE, "billing_model": BillingModel.PREPAY_MANDATE, "key": "opens the accounts", "by": "test"}
    switch_billing_model(database, ROOT, ModelSwitch.read(pool))
    return Scene(database_urls, tmp_path, database, rows, breaches)


def grants(scene: Scene, balance: str, **plan: Any) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The holds after so much was asked for that more isn't granted, and how often what happened."""
    scene.pay(None, balance)
    done = scene.burn(work="grant", **plan)
    scene.judge()
    return scene.rows("SELECT * FROM holds"), done


def test_as_many_holds_are_granted_as_the_balance_has_room_for(scene: Scene) -> None:
    """Eight processes ask against CHF 1 for holds of 0.03, and some are killed: 33 are granted, and 0.01 is left."""
    holds, done = grants(scene, "1", processes=8, seconds=30, deaths=100)
    assert len(holds) == 33
    assert scene.rows("SELECT balance, held FROM accounts WHERE user_id IS NULL") == [{"balance": Decimal(1), "held": Decimal("0.99")}]
    assert done["killed"] + done["sessions ended"] > 0, done


def mixed(scene: Scene, seconds: float, deaths: int, processes: int) -> tuple[Counter[str], Counter[tuple[str, Any]]]:
    """Everything at once; how often what happened, and how often who was told what."""
    for user in [*USERS, None]:
        scene.pay(user, "3")
    (pool,) = scene.rows("SELECT id FROM accounts WHERE mandate_id = :m AND user_id IS NULL", m=MANDATE)
    limit = {"mandate_id": MANDATE, "account_id": pool["id"], "credit_limit": "3", "key": "limit", "by": "test"}
    set_credit_limit(scene.database, ROOT, CreditLimit.read(limit))
    for cap in CAPS:
        set_cap(scene.database, ROOT, NewCap.read({"mandate_id": MANDATE, "by": "test", "limit_chf": "20", **cap}))
    done = scene.burn(work="all", processes=processes, seconds=seconds, deaths=deaths)
    scene.judge()
    scene.sweep(datetime.now(UTC) + timedelta(days=2))
    scene.judge()
    assert scene.rows("SELECT count(*)::int AS n FROM holds WHERE settled_at IS NULL") == [{"n": 0}]
    return done, Counter((line["what"], line["told"]) for line in read_journals(scene.folder))


ALWAYS = {
    *(("authorise", told) for told in ("allowed", "INSUFFICIENT_BALANCE", None)),
    *(("use", told) for told in ("recorded", "duplicate", None)),
    *(("release", "RELEASED"), ("renew", "OPEN"), ("top_up", "done")),
}
SOMETIMES = {
    *(("authorise", told) for told in ("CAP_EXCEEDED", "CAPTURED", "EXPIRED", "RELEASED")),
    *((what, told) for what in ("release", "renew") for told in ("EXPIRED", "CAPTURED", None)),
    *((what, told) for what in ("sweep", "switch", "amend", "cap") for told in ("done", None)),
    *(("renew", "RELEASED"), ("top_up", None)),
}


def test_nothing_is_lost_or_kept_where_processes_are_killed(scene: Scene) -> None:
    """Holds, usage, releases, renewals, sweeps, payments and switches of four processes, one of which has a clock that jumps."""
    done, told = mixed(scene, seconds=7, deaths=15, processes=4)
    assert done["killed"] >= 1, done
    assert told.keys() >= ALWAYS, ALWAYS - told.keys()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_nothing_is_lost_or_kept_in_a_long_fire(scene: Scene) -> None:
    """The same of six processes for minutes: each thing that may be told is told."""
    done, told = mixed(scene, seconds=300, deaths=8, processes=6)
    assert done["killed"] >= 50, done
    assert told.keys() >= ALWAYS | SOMETIMES, (ALWAYS | SOMETIMES) - told.keys()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand_holds_are_granted_of_thirty_francs(scene: Scene) -> None:
    """Eight processes ask for holds of 0.03 against CHF 30, and dozens of them are killed: a thousand are granted."""
    holds, done = grants(scene, "30", processes=8, seconds=120, deaths=60)
    assert len(holds) == 1000
    assert done["killed"] >= 10, done
