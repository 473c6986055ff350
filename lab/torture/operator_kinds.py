"""What an operator can do: each kind draws what it asks for, and asks for it; the journal stands between the two."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any

from sqlalchemy import text

from core.config import Configuration
from core.database.database import Database
from core.ledger.opening import KnownAccounts
from lab.torture.operator_journal import Intent, OperatorJournal
from lab.torture.operator_plan import Plan

Asked = dict[str, Any]
WORKER = "operator"
_RATIO = 10  # heavy work takes a tenth of the time at most


@dataclass
class World:
    """What a kind draws from."""

    plan: Plan
    database: Database
    config: Configuration
    journal: OperatorJournal
    random: random.Random
    known: KnownAccounts = field(default_factory=KnownAccounts)

    @property
    def key(self) -> str:
        """The key of the operation that is drawn, which no other has."""
        return f"op-{self.journal.next}"

    def signed(self, mandate_id: str, **fields: Any) -> Asked:
        """What a request under a key has."""
        return {"mandate_id": mandate_id, "key": self.key, "by": self.by, **fields}

    @property
    def by(self) -> str:
        """Who asks, as the books keep it: each operation has a name of its own."""
        return f"operator {self.journal.next}"

    @property
    def mandates(self) -> list[str]:
        """Those that have settings by now, as far as the journal tells: of what was brought in later, what was there at a backfill."""
        backfilled = max((intent.at for intent in self.journal.of_kind("backfill") if done(intent)), default=0.0)
        first = [mandate for mandate in self.plan.mandates if mandate not in self.plan.late]
        return list(dict.fromkeys([*first, *sorted(self.imported(backfilled))]))

    def imported(self, before: float = inf) -> set[str]:
        """The mandates that were brought in, by an operation that was done before this moment, in seconds since 1970."""
        importing = self.journal.of_kind("directory", "late")
        return {mandate for intent in importing if done_at(intent) < before for mandate in intent.asked["zones"]}

    def a_mandate(self, *prefixes: str) -> str | None:
        """One that is known, of these kinds where some are named."""
        fitting = [mandate for mandate in self.mandates if not prefixes or mandate.startswith(prefixes)]
        return self.random.choice(fitting) if fitting else None

    def rows(self, sql: str, **given: Any) -> list[dict[str, Any]]:
        """What the books have at this moment."""
        with self.database.snapshot() as connection:
            return [dict(row) for row in connection.execute(text(sql), given).mappings()]

    def an_account(self, mandate_id: str, *, pool: bool | None = None) -> dict[str, Any] | None:
        """One of a mandate's accounts."""
        found = self.rows("SELECT id, user_id, balance FROM accounts WHERE mandate_id = :mandate_id ORDER BY id", mandate_id=mandate_id)
        found = [one for one in found if pool is None or (one["user_id"] is None) == pool]
        return self.random.choice(found) if found else None

    def some_entries(self, mandate_id: str, condition: str, count: int) -> list[dict[str, Any]]:
        """Entries of a mandate that fit, the next ones after one of its times, wherever that is."""
        (last,) = self.rows(
            "SELECT min(recorded_at) AS first, max(recorded_at) AS last FROM transactions WHERE mandate_id = :mandate_id", mandate_id=mandate_id
        )
        if last["first"] is None:
            return []
        since = last["first"] + self.random.random() * (last["last"] - last["first"])
        return self.rows(
            f"SELECT id, event_id, amount, transaction_type, reference_type FROM transactions WHERE mandate_id = :mandate_id"
            f" AND recorded_at >= :since AND {condition} ORDER BY recorded_at, id LIMIT :count",
            mandate_id=mandate_id,
            since=since,
            count=count,
        )

    def amount(self, most: int = 40) -> str:
        """An amount in CHF above 0: sometimes to the billionth."""
        units = self.random.randrange(1, most * 100)
        return f"{units / 100:.2f}" if self.random.random() < 0.6 else f"{units // 100}.{self.random.randrange(1, 10**9):09}"

    def rested(self, *kinds: str) -> bool:
        """Whether nothing of these kinds was done for as long as the plan says, and for ten times as long as the last one took."""
        for kind in kinds:
            for last in self.journal.of_kind(kind)[-1:]:
                ended = max((answer["at"] for answer in last.answers), default=last.at)
                if time.time() - ended < max(self.plan.heavy, _RATIO * (ended - last.at)):
                    return False
        return True


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that an operator does.

    Attributes:
        name: as the journal has it.
        draw: what is asked for; None: there is nothing to ask for now.
        do: asks for it, as often as it is called, and returns what came of it.
        weight: how often it is drawn among all kinds.
        scope: operations of one scope wait for each other's answers, since the later one changes what the earlier one has set; `{mandate_id}` and
            the like stand for what is asked.
        expect: what must come of it, where only one thing can.
        same: what of the answer every repetition must tell again, () for all of it; None: it isn't repeated once it is done.
    """

    name: str
    draw: Callable[[World], Asked | None]
    do: Callable[[World, Mapping[str, Any]], dict[str, Any]]
    weight: int = 3
    scope: str = ""
    expect: str | None = None
    same: tuple[str, ...] | None = ()


class NotGranted(Exception):
    """What was asked for was answered, with no; its argument is the reason."""


def plain(result: object) -> dict[str, Any]:
    """A result as the journal keeps it; whether it is a repetition is left out."""
    assert is_dataclass(result)
    assert not isinstance(result, type)
    return {name: value for name, value in asdict(result).items() if name != "repeated"}


def done(intent: Intent) -> bool:
    """Whether it is known that it was done."""
    return any(answer["told"] == "done" for answer in intent.answers)


def done_at(intent: Intent) -> float:
    """When it was told that it was done, in seconds since 1970; never, if it wasn't."""
    return min((float(answer["at"]) for answer in intent.answers if answer["told"] == "done"), default=inf)


def result_of(intent: Intent) -> dict[str, Any]:
    """What it came to, once it was done."""
    result: dict[str, Any] = next(answer["result"] for answer in intent.answers if answer["told"] == "done")
    return result


def utc(moment: float | None = None) -> str:
    """A moment, or now, as text."""
    return datetime.fromtimestamp(time.time() if moment is None else moment, UTC).isoformat()
