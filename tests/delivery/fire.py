"""Several processes that ask for holds, use, release and end them, while they are killed: `python -m tests.delivery.fire PLAN` (JSON).

This process starts the others, kills them, and starts others in their place; it ends the sessions of some inside their
transactions, too. Each process writes down what it asks before it asks, and what it was told after that.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

from sqlalchemy import text

from core.database.database import Database
from core.errors import StorageUnavailable
from tests.conftest import IsolatedConfiguration
from tests.delivery.fire_process import Plan, Process

MANDATE = "acme"
USERS = [f"user{n}" for n in range(5)]
MODELS = ["PREPAY_USER", "PREPAY_MANDATE", "CREDIT_POSTPAY", "PREPAY_MANDATE", "UNLIMITED"]
FOUND = 8  # open holds that a process looks at, to use or to release some of them
_FIND = text("SELECT hold_key, user_id, amount FROM holds WHERE mandate_id = :mandate AND settled_at IS NULL ORDER BY random() LIMIT :found")
_USED = text("SELECT event_id FROM event_keys WHERE mandate_id = :mandate ORDER BY random() LIMIT 1")
_CAPS = text("SELECT id FROM caps WHERE mandate_id = :mandate AND removed_at IS NULL")
CAPS: tuple[dict[str, object], ...] = (
    {"period": "DAY", "scope": "ALL", "action": "ALERT"},
    {"period": "WEEK", "user_id": "user1"},
    {"period": "MONTH", "scope": "EACH_USER", "action": "ALERT"},
    {"period": "TOTAL", "dimension": "model", "value": "big"},
)
_VICTIM = text("""
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user AND xact_start IS NOT NULL ORDER BY random() LIMIT 1
""")

_VICTIM = text("""
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user AND xact_start IS NOT NULL ORDER BY random() LIMIT 1
""")


class Fire:
    """The processes of a plan, and what kills them."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.done = plan, Counter[str]()
        self.random = Random(plan.seconds)
        self.lives: dict[int, tuple[int, int]] = {}  # by process id: its seed and its life
        self.end = time.monotonic() + plan.seconds

    def burn(self) -> None:
        """Until the time is over; then each ends by itself, and none dies any more."""
        config = IsolatedConfiguration(database_url=self.plan.url)
        for seed in range(self.plan.processes):
            self._start(seed, 0)
        database = Database(self.plan.url, config)  # after the others were started, which must not share its connections
        while self.lives:
            self._bury()
            if time.monotonic() < self.end:
                self._strike(database)
            time.sleep(0.02)

    def _start(self, seed: int, life: int) -> None:
        sys.stdout.flush()
        child = os.fork()
        if child:
            self.lives[child] = seed, life
            self.done["lives"] += 1
            return
        code = 1
        try:
            self._live(Process(self.plan, seed, life))
            code = 0
        except BaseException:  # noqa: BLE001 - it is told of, and the process ends
            Path(self.plan.folder, f"{seed}.{life}.error").write_text(traceback.format_exc())
        finally:
            os._exit(code)

    def _live(self, process: Process) -> None:
        while time.monotonic() < self.end:
            if self.plan.work == "grant" and process.refusals > 40:
                break
            process.work()

    def _bury(self) -> None:
        while self.lives:
            dead, status = os.waitpid(-1, os.WNOHANG)
            if dead == 0:
                return
            seed, life = self.lives.pop(dead)
            if os.WIFSIGNALED(status):
                self.done["killed"] += 1
                if time.monotonic() < self.end:
                    self._start(seed, life + 1)

    def _strike(self, database: Database) -> None:
        """Sometimes a process, sometimes a session that is inside a transaction."""
        if self.plan.deaths and self.random.randrange(40) == 0:
            os.kill(self.random.choice(list(self.lives)), signal.SIGKILL)
        if self.plan.deaths and self.random.randrange(8) == 0:
            with suppress(StorageUnavailable), database.transaction() as connection:
                victim = connection.execute(_VICTIM).scalar_one_or_none()
                if victim is not None:
                    connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": victim})
                    self.done["sessions ended"] += 1


def main() -> None:
    """Burns, and writes how often what was done."""
    fire = Fire(Plan(**json.loads(sys.argv[1])))
    fire.burn()
    sys.stdout.write(json.dumps(fire.done))


if __name__ == "__main__":
    main()
