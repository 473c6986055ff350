"""Planning repairs: what of the books doesn't follow from the ledger, and can be made to without touching the ledger."""

from dataclasses import dataclass

from core.domain.rights import Actor, require_root
from core.storage.database import Database, allow_time
from core.storage.invariants.invariant import judge
from core.storage.invariants.sums import sums_are_those_of_then
from core.storage.repairs import WrongBalance, WrongStatistics, find_wrong_balances, find_wrong_statistics


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """Balances that break I3, mandates whose statistics break I6, and the number of accounts whose kept sums break I18."""

    balances: list[WrongBalance]
    statistics: list[WrongStatistics]
    sums: int


def plan_repairs(database: Database, actor: Actor, mandate_id: str | None = None) -> RepairPlan:
    """What a repair of the mandate, or of all and the checkpoint's sums, would do now; it reads the whole books and writes nothing.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "repair the books")
    with database.snapshot() as connection:
        allow_time(connection)
        balances, statistics = find_wrong_balances(connection, mandate_id), find_wrong_statistics(connection, mandate_id)
        sums = 0 if mandate_id is not None else judge(connection, sums_are_those_of_then(), 1).violations
    return RepairPlan(balances, statistics, sums)
