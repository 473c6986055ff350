"""Planning repairs: what of the books doesn't follow from the ledger, and can be made to without touching the ledger."""

from dataclasses import dataclass, field

from core.asking.rights import Actor, require_root
from core.database.database import Database, allow_time
from core.directory.sql.mandates import unknown_mandates
from core.errors import NotFound
from core.printable import shown
from core.verifying.sql.invariants.all import INVARIANTS
from core.verifying.sql.invariants.invariant import judge
from core.verifying.sql.invariants.local_days import local_days_are_those_of_the_time
from core.verifying.sql.invariants.sums import sums_are_those_of_then
from core.verifying.sql.repairs import (
    WrongBalance,
    WrongCounters,
    WrongHeld,
    WrongStatistics,
    find_wrong_balances,
    find_wrong_counters,
    find_wrong_held,
    find_wrong_statistics,
)

_OF_ENTRIES = ("I1", "I2", "I14")  # broken, they tell that an entry is missing, changed or there twice


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """Balances that break I3, and mandates whose statistics break I6, whose counters of caps break K1, of whose accounts a wrong amount is held (H1).

    `ledger` has the invariants that entries themselves break, with their violations: entries were lost, changed or made twice.
    `local_days` are the violations of I16: a repair leaves them alone, `core.verifying.read_zones.check_zones` tells more.
    """

    balances: list[WrongBalance]
    statistics: list[WrongStatistics]
    ledger: dict[str, int] = field(default_factory=dict)
    local_days: int = 0
    counters: list[WrongCounters] = field(default_factory=list)
    held: list[WrongHeld] = field(default_factory=list)


def plan_repairs(database: Database, actor: Actor, mandate_id: str | None = None, account_id: int | None = None) -> RepairPlan:
    """What a repair of the account's balance, of the mandate, or of all, would do now.

    It reads the whole books and writes nothing.

    Raises:
        NotFound: there is no such mandate.
    """
    require_root(actor, "repair the books")
    with database.snapshot() as connection:
        allow_time(connection)
        if mandate_id is not None and unknown_mandates(connection, [mandate_id]):
            raise NotFound(f"there is no mandate {shown(mandate_id)}")
        balances = [wrong for wrong in find_wrong_balances(connection, mandate_id) if account_id in (None, wrong.account_id)]
        statistics = [] if account_id is not None else find_wrong_statistics(connection, mandate_id)
        counters = [] if account_id is not None else find_wrong_counters(connection, mandate_id)
        held = [] if account_id is not None else find_wrong_held(connection, mandate_id)
        of_entries = [*(invariant for invariant in INVARIANTS if invariant.name in _OF_ENTRIES), sums_are_those_of_then()]
        verdicts = [judge(connection, invariant, 1) for invariant in of_entries]
        local_days = judge(connection, local_days_are_those_of_the_time(), 1).violations
    return RepairPlan(balances, statistics, {v.invariant: v.violations for v in verdicts if v.violations}, local_days, counters, held)
