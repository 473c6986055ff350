"""Repairing the books: what doesn't follow from the ledger is made to, by an operator's word; the ledger stays as it is."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from core.asking.request import Request
from core.asking.rights import Actor
from core.database.database import Database
from core.errors import Conflict, RequestRefused
from core.printable import shown
from core.verifying.plan_repairs import RepairPlan, plan_repairs
from core.verifying.repair_balance import BalanceRepair, BalanceRepaired, repair_balance
from core.verifying.repair_counters import CountersRepair, CountersRepaired, repair_counters
from core.verifying.repair_held import HeldRepair, HeldRepaired, repair_held
from core.verifying.repair_statistics import StatisticsRepair, StatisticsRepaired, repair_statistics

Asked = TypeVar("Asked", bound=Request)
Done = TypeVar("Done")

KEY_MAX = 96  # characters; an account's id is added to it


@dataclass(frozen=True, slots=True)
class Repairs:
    """What was repaired: balances, and by mandate statistics, counters of caps and what is held."""

    balances: list[BalanceRepaired]
    statistics: list[StatisticsRepaired]
    counters: list[CountersRepaired] = field(default_factory=list)
    held: list[HeldRepaired] = field(default_factory=list)


def repair_books(
    database: Database,
    actor: Actor,
    *,
    key: str,
    reason: str,
    by: str,
    mandate_id: str | None = None,
    account_id: int | None = None,
    by_adjustment: bool = False,
) -> Repairs:
    """Repairs what `plan_repairs` finds: each balance, and each mandate's statistics, counters and what is held, in a transaction of its own.

    A balance becomes the ledger's sum, under `key` and the account's id; `by_adjustment` the balance stays, and the ledger gets an
    ADJUSTMENT of the difference. Statistics and counters of caps are counted anew, under `key`, and what is held becomes what open holds
    keep. With `account_id` it is that account's balance alone, which an adjustment must name. After an interruption the same call does
    the rest; of books in order nothing is written.

    Raises:
        NotFound: there is no such mandate.
        RequestRefused: key, reason or by is no such text, a mandate with a wrong balance has no settings, or entries themselves are
            missing or wrong and no account is named: then an operator has to say for each whether ledger or balance is right.
        Conflict: what is wrong now was repaired under this key before: use another one.
        BadData: a ledger's sum is more than a balance can hold.
        StorageUnavailable: what was committed stays; call it again.
    """
    plan = plan_repairs(database, actor, mandate_id, account_id)
    _require_decided(plan, key, account_id, by_adjustment=by_adjustment)
    asked = {"reason": reason, "by": by}
    balances = []
    for wrong in plan.balances:
        account = {"mandate_id": wrong.mandate_id, "account_id": wrong.account_id, "key": f"repair:{key}:{wrong.account_id}"}
        with database.transaction() as connection:
            balances.append(repair_balance(connection, BalanceRepair.read({**asked, **account, "by_adjustment": by_adjustment})))
    asked["key"] = key
    done = Repairs(
        balances,
        _each(database, plan.statistics, StatisticsRepair, repair_statistics, asked),
        _each(database, plan.counters, CountersRepair, repair_counters, asked),
        _each(database, plan.held, HeldRepair, repair_held, asked),
    )
    return _first_time(key, done)


def _require_decided(plan: RepairPlan, key: str, account_id: int | None, *, by_adjustment: bool) -> None:
    """Returns if nothing is left to be said for the repair."""
    if len(key) > KEY_MAX:
        raise RequestRefused(f"{shown(key)} has more than {KEY_MAX} characters", field="key", value=key)
    if by_adjustment and account_id is None:
        raise RequestRefused("name the account whose balance is right", field="by_adjustment")
    if plan.ledger and account_id is None:
        broken = ", ".join(plan.ledger)
        raise RequestRefused(f"the ledger itself breaks {broken}, see `tollbook verify`: name an account, and say whether its balance is right")


def _first_time(key: str, repairs: Repairs) -> Repairs:
    """The repairs, none of which was done before under this key."""
    every: list[BalanceRepaired | StatisticsRepaired | CountersRepaired | HeldRepaired] = [
        *repairs.balances,
        *repairs.statistics,
        *repairs.counters,
        *repairs.held,
    ]
    again = [one.mandate_id for one in every if one.repeated]
    if again:
        raise Conflict(f"{shown(key)} has repaired mandate {shown(again[0])} before, and it is wrong again: use another key", field="key", value=key)
    return repairs


class _OfMandate(Protocol):
    @property
    def mandate_id(self) -> str: ...


def _each(
    database: Database, wrong: Iterable[_OfMandate], kind: type[Asked], repair: Callable[[Connection, Asked], Done], asked: Mapping[str, object]
) -> list[Done]:
    """Repairs each mandate of which something is wrong, in a transaction of its own."""
    done = []
    for one in wrong:
        with database.transaction() as connection:
            done.append(repair(connection, kind.read({**asked, "mandate_id": one.mandate_id})))
    return done
