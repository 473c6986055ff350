"""One of several processes that all work on one mandate at once: `python -m tests.books.stress DATABASE_URL SEED ROUNDS`.

Writes how often it did what. Requests under keys are drawn from a small common set, so that the processes repeat each other's.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

from core.asking.paging import Page
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.checks.check_balance import BalanceQuestion, check_balance
from core.checks.model import Refusal
from core.database.database import Database
from core.errors import RequestRefused
from core.events.outcome import Outcome
from core.ledger.opening import KnownAccounts
from core.ledger.read_accounts import holder_account
from core.ledger.read_transactions import transactions_of_mandate
from core.movements.adjust import Adjustment, adjust
from core.movements.refund import Refund, refund
from core.movements.set_account_enabled import AccountEnabling, set_account_enabled
from core.movements.set_credit_limit import CreditLimit, set_credit_limit
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.recording.record_usage import record_usage
from tests.conftest import IsolatedConfiguration
from tests.sample_events import event, raw

MANDATE = "acme"
USERS = [f"user{n}" for n in range(8)]
KEYS = 40


class Process:
    """What one process knows and may do; each method is one piece of work."""

    def __init__(self, url: str, seed: int) -> None:
        self.config = IsolatedConfiguration(database_url=url)
        self.database = Database(url, self.config)
        self.memory = KnownAccounts()
        self.seed = seed
        self.random = Random(seed)
        self.done: Counter[str] = Counter()

    def debit(self) -> None:
        """A batch of usage of several users, and a part of it once more."""
        numbers = range(self.done["debit"], self.done["debit"] + 12)
        batch = [event(event_id=f"{self.seed}-{n}", user_id=self.random.choice(USERS), price_chf=f"0.0{n % 9}1") for n in numbers]
        for events, outcome in ((batch, Outcome.RECORDED), (batch[:3], Outcome.DUPLICATE)):
            raw_events = [raw(one) for one in events]
            result = record_usage(self.database, raw_events, config=self.config, known_accounts=self.memory, worker=str(self.seed))
            assert set(result.outcomes) == {outcome}
        self.done["debit"] += len(batch)

    def check(self) -> None:
        """A question whose answer fits itself, of members and of a stranger whose account it opens."""
        user = self.random.choice([*USERS, f"stranger{self.random.randrange(KEYS)}"])
        asked = BalanceQuestion(mandate_id=MANDATE, user_id=user, estimated_cost=Decimal(self.random.randrange(30)))
        answer = check_balance(self.database, ROOT, asked, config=self.config)
        if answer.current_balance is None:
            assert answer.billing_model is BillingModel.UNLIMITED
        elif answer.reason is Refusal.INSUFFICIENT_BALANCE:
            assert answer.current_balance < answer.required_amount
        elif answer.allowed and answer.billing_model in (BillingModel.PREPAY_USER, BillingModel.PREPAY_MANDATE):
            assert answer.current_balance >= answer.required_amount
        self.done["check"] += 1

    def top_up(self) -> None:
        """A payment, perhaps one that another process credits at this very moment."""
        number = self.random.randrange(KEYS)
        top_up(self.database, ROOT, TopUp.read({**self._account(number), "amount": f"{number}.5", "key": f"payment {number}"}))
        self.done["top_up"] += 1

    def adjust(self) -> None:
        """Up or down, as above."""
        number = self.random.randrange(KEYS)
        asked = {**self._account(number), "amount": f"{KEYS // 2 - number}.25", "reason": "stress", "key": f"adjustment {number}"}
        adjust(self.database, ROOT, Adjustment.read(asked))
        self.done["adjust"] += 1

    def refund(self) -> None:
        """A part of a recent entry, which others refund too."""
        entry = self.random.choice(transactions_of_mandate(self.database, ROOT, MANDATE, Page(30)))
        asked = self._asked(transaction_id=entry.id, amount="0.004", key=f"refund {entry.id} {self.random.randrange(6)}")
        try:
            refund(self.database, ROOT, Refund.read(asked))
        except RequestRefused:  # nothing is left of it, or it is none that is refunded
            self.done["refused"] += 1
        else:
            self.done["refund"] += 1

    def switch(self) -> None:
        """Another billing model."""
        key = f"switch {self.seed} {self.done['switch']}"
        switch_billing_model(self.database, ROOT, ModelSwitch.read(self._asked(billing_model=self.random.choice([*BillingModel]), key=key)))
        self.done["switch"] += 1

    def rule(self) -> None:
        """An account disabled or enabled, a limit set."""
        number, key = self.random.randrange(KEYS), f"rule {self.seed} {self.done['rule']}"
        asked = {**self._account(number), "key": key}
        set_account_enabled(self.database, ROOT, AccountEnabling.read({**asked, "enabled": number % 3 > 0}))
        pool = holder_account(self.database, ROOT, MANDATE, None)
        set_credit_limit(self.database, ROOT, CreditLimit.read({**asked, "account_id": pool.id, "credit_limit": number or None}))
        self.done["rule"] += 1

    def _account(self, number: int) -> dict[str, Any]:
        """The pool or a user's account, the same for the same number."""
        return self._asked(account_id=holder_account(self.database, ROOT, MANDATE, USERS[number % 8] if number % 3 else None).id)

    def _asked(self, **fields: object) -> dict[str, Any]:
        return {"mandate_id": MANDATE, "by": "stress", **fields}


# What is done, each as often as it stands here among all; another kind of work is one more line.
WORK: tuple[tuple[int, Callable[[Process], None]], ...] = (
    (8, Process.debit),
    (8, Process.check),
    (4, Process.top_up),
    (3, Process.adjust),
    (4, Process.refund),
    (2, Process.switch),
    (1, Process.rule),
)


def main() -> None:
    """Works for so many rounds, in an order of the seed's own."""
    url, seed, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    process = Process(url, seed)
    process.debit()  # so that there is something to refund
    pieces = [work for weight, work in WORK for _ in range(weight)]
    for _ in range(rounds):
        for piece in process.random.sample(pieces, len(pieces)):
            piece(process)
    sys.stdout.write(json.dumps(process.done))


if __name__ == "__main__":
    main()
