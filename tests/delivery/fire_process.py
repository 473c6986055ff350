"""One of the processes of a fire: what it asks for, uses, releases and ends, and what it writes down of that."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

from sqlalchemy import Connection, text

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.caps.remove_cap import CapRemoval, remove_cap
from core.caps.set_cap import NewCap, set_cap
from core.database.database import Database
from core.errors import RequestRefused, StorageUnavailable
from core.holds.answer import HoldAnswer
from core.holds.authorise import authorise_all
from core.holds.expire import expire_holds
from core.holds.question import HoldName, HoldQuestion, Renewal
from core.holds.release import release_hold
from core.holds.renew import renew_hold
from core.ledger.opening import KnownAccounts
from core.ledger.read_accounts import holder_account
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.recording.record_usage import record_usage
from tests.conftest import IsolatedConfiguration
from tests.delivery.fire_journal import Journal
from tests.sample_events import raw

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


@dataclass(frozen=True)
class Plan:
    """What burns: `work` is `grant` (nothing is given back) or `all`; `deaths` of a thousand transactions end with their process or session."""

    url: str
    folder: str
    work: str
    processes: int
    seconds: float
    deaths: int
    amount: str = "0.03"
    moment: str = ""  # at which all usage happened

    def write(self) -> str:
        """As the processes read it."""
        return json.dumps(asdict(self))


class Burning(Database):
    """As `Database`; but some transactions end with their process or their session, right before their commit or right after it."""

    deaths: int = 0
    random: Random

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """See `Database.transaction`."""
        with super().transaction() as connection:
            yield connection
            fate = self.random.randrange(1000)
            if fate < self.deaths:
                self._end(connection, fate)
        if self.random.randrange(1000) < self.deaths:
            if self.random.randrange(4) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            raise StorageUnavailable("nobody heard of the commit")

    @staticmethod
    def _end(connection: Connection, fate: int) -> None:
        if fate % 4 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


class Process:
    """One life of one process; each method is one piece of work."""

    def __init__(self, plan: Plan, seed: int, life: int) -> None:
        self.plan, self.name = plan, f"{seed}.{life}"
        self.config = IsolatedConfiguration(database_url=plan.url)
        self.random = Random(f"{seed} {life} {plan.work}")
        self.database = Burning(plan.url, self.config)
        self.database.random, self.database.deaths = self.random, plan.deaths
        self.journal = Journal(Path(plan.folder) / f"{self.name}.journal")
        self.known = KnownAccounts()
        self.asked: list[dict[str, object]] = []
        self.refusals = self.keys = 0
        self.jumps = seed == 0 and plan.work == "all"

    def clock(self) -> datetime | None:
        """The time of a process whose clock jumps about; the others leave it to the database."""
        if not self.jumps:
            return None
        off = self.random.choice([0, 0, 0, -3600, -2, 2, 3600, 90_000])
        return datetime.now(UTC) + timedelta(seconds=off)

    def authorise(self) -> None:
        """Some questions in one transaction, perhaps some that were asked before."""
        questions = [self._question() for _ in range(self.random.choice([1, 1, 2, 4]))]
        if self.asked and self.random.randrange(4) == 0:
            questions = list({str(one["key"]): one for one in [*questions, *self.random.choices(self.asked, k=2)]}.values())
        numbers = self.journal.ask("authorise", *(str(one["key"]) for one in questions))
        self.asked = [*self.asked, *questions][-50:]
        read = [HoldQuestion.read(one) for one in questions]
        answers = authorise_all(self.database, ROOT, read, config=self.config, known_accounts=self.known, clock=self.clock())
        self.journal.told(numbers, [self._said(answer) for answer in answers])

    def share(self) -> None:
        """Calls of the moment, which all processes ask for under one key, and whose usage they tell of, some of it before anybody has asked."""
        if self.jumps:
            return
        moment = int(time.monotonic() * 4)
        key, user = f"shared {moment}", USERS[moment % len(USERS)]
        if self.random.randrange(2):
            self._record(self._events(key, user, Decimal("0.5")))
        asked = {"mandate_id": MANDATE, "key": key, "user_id": user, "amount": "0.5", "ttl_seconds": 2}
        numbers = self.journal.ask("authorise", key)
        answers = authorise_all(self.database, ROOT, [HoldQuestion.read(asked)], config=self.config, known_accounts=self.known)
        self.journal.told(numbers, [self._said(answer) for answer in answers])

    def _question(self) -> dict[str, object]:
        self.keys += 1
        amount = self.plan.amount if self.plan.work == "grant" else self.random.choice(["0", "0.03", "0.5", "1.25"])
        ttl = 3600 if self.plan.work == "grant" else self.random.choice([1, 1, 2, 900])
        user = self.random.choice(USERS)
        return {"mandate_id": MANDATE, "key": f"{self.name}-{self.keys}", "user_id": user, "amount": amount, "ttl_seconds": ttl}

    def _said(self, answer: HoldAnswer | Exception) -> str:
        if not isinstance(answer, HoldAnswer):
            return "conflict"
        self.refusals += answer.reason is not None
        return "allowed" if answer.allowed else str(answer.reason or answer.state)

    def use(self) -> None:
        """Usage under several holds, of which others send the same at this moment."""
        batch = [event for hold in self._found() for event in self._events(*hold) if self.random.randrange(3)]
        if batch:
            self._record(batch)

    def _record(self, batch: list[dict[str, object]]) -> None:
        numbers = self.journal.ask("use", *(str(event["event_id"]) for event in batch))
        told = record_usage(
            self.database,
            [raw(event) for event in batch],
            config=self.config,
            known_accounts=self.known,
            worker=self.name,
            hold_clock=self.clock(),
        )
        self.journal.told(numbers, [str(outcome) for outcome in told.outcomes])

    def _events(self, key: str, user: str, amount: Decimal) -> list[dict[str, object]]:
        """What is used under a hold: the same whoever tells of it."""
        random = Random(key)
        parts = [random.choice(["0", "0.5", "1", "1.5"]) for _ in range(random.choice([1, 1, 2, 3]))]
        whose = "user0" if random.randrange(10) == 0 else user
        plain = {"mandate_id": MANDATE, "user_id": whose, "occurred_at": self.plan.moment, "hold_key": key, "model": random.choice(["big", "small"])}
        return [
            {**plain, "event_id": f"{key} {n}", "price_chf": f"{Decimal(part) * amount:f}", "hold_final": n == len(parts) and random.randrange(3) > 0}
            for n, part in enumerate(parts, 1)
        ]

    def _found(self) -> list[tuple[str, str, Decimal]]:
        with self.database.snapshot() as connection:
            found = connection.execute(_FIND, {"mandate": MANDATE, "found": FOUND}).all()
        return [(row.hold_key, row.user_id, row.amount) for row in found]

    def release(self) -> None:
        """Some that others may be using."""
        for key, _, _ in self._found()[:2]:
            numbers = self.journal.ask("release", key)
            told = release_hold(self.database, ROOT, HoldName.read({"mandate_id": MANDATE, "key": key}), clock=self.clock())
            self.journal.told(numbers, [str(told.state)])

    def renew(self) -> None:
        """Some that others may be ending."""
        for key, _, _ in self._found()[:2]:
            numbers = self.journal.ask("renew", key)
            asked = Renewal.read({"mandate_id": MANDATE, "key": key, "ttl_seconds": self.random.choice([1, 5])})
            told = renew_hold(self.database, ROOT, asked, clock=self.clock())
            self.journal.told(numbers, [str(told.state)])

    def sweep(self) -> None:
        """What is over by this process's clock."""
        numbers = self.journal.ask("sweep", "")
        expire_holds(self.database, clock=self.clock())
        self.journal.told(numbers, ["done"])

    def top_up(self) -> None:
        """A payment to whoever may pay."""
        account = holder_account(self.database, ROOT, MANDATE, self.random.choice([*USERS, None]))
        self.keys += 1
        key = f"top-up {self.name}-{self.keys}"
        numbers = self.journal.ask("top_up", key)
        asked = {"mandate_id": MANDATE, "account_id": account.id, "amount": "0.7", "key": key, "by": "fire"}
        top_up(self.database, ROOT, TopUp.read(asked))
        self.journal.told(numbers, ["done"])

    def switch(self) -> None:
        """Somebody else pays."""
        self.keys += 1
        key = f"switch {self.name}-{self.keys}"
        numbers = self.journal.ask("switch", key)
        asked = {"mandate_id": MANDATE, "billing_model": BillingModel(self.random.choice(MODELS)), "key": key, "by": "fire"}
        switch_billing_model(self.database, ROOT, ModelSwitch.read(asked))
        self.journal.told(numbers, ["done"])

    def amend(self) -> None:
        """Another price for something that was used, which moves the counters of its day."""
        with self.database.snapshot() as connection:
            event_id = connection.execute(_USED, {"mandate": MANDATE}).scalar_one_or_none()
        if event_id is None:
            return
        self.keys += 1
        key = f"amendment {self.name}-{self.keys}"
        numbers = self.journal.ask("amend", key)
        price = NewPrice.read({"mandate_id": MANDATE, "event_id": event_id, "price_chf": self.random.choice(["0", "0.2", "1"])})
        amend_prices(self.database, ROOT, [price], key=key, by="fire", worker=self.name)
        self.journal.told(numbers, ["done"])

    def cap(self) -> None:
        """Another limit of a cap, or the same cap anew, which counts its window while others use and hold."""
        numbers = self.journal.ask("cap", "")
        with self.database.snapshot() as connection:
            present = connection.execute(_CAPS, {"mandate": MANDATE}).scalars().all()
        if present and self.random.randrange(3) == 0:
            remove_cap(self.database, ROOT, CapRemoval.read({"mandate_id": MANDATE, "by": "fire", "cap_id": self.random.choice(present)}))
        asked = {**self.random.choice(CAPS), "limit_chf": self.random.choice(["2", "20", "200"])}
        set_cap(self.database, ROOT, NewCap.read({"mandate_id": MANDATE, "by": "fire", **asked}), clock=self.clock())
        self.journal.told(numbers, ["done"])

    def work(self) -> None:
        """One piece, drawn by its weight; what nobody answered may have happened."""
        pieces = GRANT if self.plan.work == "grant" else ALL
        piece = self.random.choices([do for _, do in pieces], [weight for weight, _ in pieces])[0]
        with suppress(StorageUnavailable, RequestRefused):  # what is refused is done by somebody else at this moment
            piece(self)


GRANT: tuple[tuple[int, Callable[[Process], None]], ...] = ((1, Process.authorise),)
ALL: tuple[tuple[int, Callable[[Process], None]], ...] = (
    (12, Process.authorise),
    (8, Process.use),
    (3, Process.share),
    (2, Process.release),
    (2, Process.renew),
    (2, Process.sweep),
    (2, Process.top_up),
    (1, Process.switch),
    (1, Process.amend),
    (1, Process.cap),
)
