"""Everything at once on one mandate, from several processes."""

import json
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.movements.switch import ModelSwitch, switch_billing_model
from tests.books.stress import MANDATE, USERS
from tests.conftest import DatabaseUrls, Rows
from tests.scene import Breaches, PutSettings

PROCESSES, ROUNDS = 4, 8


def test_four_processes_on_one_mandate_leave_orderly_books(
    database_urls: DatabaseUrls, database: Database, put_settings: PutSettings, rows: Rows, breaches: Breaches
) -> None:
    """Checks, debits, top-ups, adjustments, refunds, switches and rules at once: nothing fails, nothing is done twice, each unit is accounted for."""
    put_settings(MANDATE, users=USERS)
    pool = {"mandate_id": MANDATE, "billing_model": BillingModel.PREPAY_MANDATE, "key": "opens the accounts", "by": "test"}
    switch_billing_model(database, ROOT, ModelSwitch.read(pool))
    commands = [[sys.executable, "-m", "tests.books.stress", database_urls.worker, str(seed), str(ROUNDS)] for seed in range(PROCESSES)]
    root = Path(__file__).parents[2]
    processes = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands]
    try:
        ended = [process.communicate(timeout=100) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not "".join(errors for _, errors in ended)
    done = sum((Counter(json.loads(output.splitlines()[-1])) for output, _ in ended), Counter[str]())
    assert set(done) == {"check", "debit", "top_up", "adjust", "refund", "refused", "switch", "rule"}
    assert rows("SELECT count(*) AS n FROM transactions WHERE reference_type = 'WORKFLOW'") == [{"n": done["debit"]}]
    keys = {row["operation"]: row["n"] for row in rows("SELECT operation, count(*) AS n FROM operation_keys GROUP BY 1")}
    entries = {row["reference_type"]: row["n"] for row in rows("SELECT reference_type, count(*) AS n FROM transactions GROUP BY 1")}
    assert (entries["PAYMENT"], entries["ADJUSTMENT"], entries["REFUND"]) == (keys["top_up"], keys["adjust"], keys["refund"])
    assert keys["top_up"] < done["top_up"], "processes repeated each other's requests"
    assert keys["switch_billing_model"] == done["switch"] + 1
    credited = """
        SELECT sum(CASE transaction_type WHEN 'DEBIT' THEN -amount ELSE amount END) AS total
          FROM transactions WHERE balance_account_id IS NOT NULL AND reference_type <> 'SWITCH'
    """
    (total,) = rows(credited)
    assert rows("SELECT sum(balance) AS total FROM accounts") == [total]
    assert total["total"] != Decimal(0)
    assert breaches() == {}
