"""Whether the books are in order: every invariant that the database can answer, at one moment.

I7, I9 and I12 also need the producers' journal; that nothing is ever updated or deleted (I18) is the roles' business.
"""

from dataclasses import dataclass

from core.domain.rights import Actor, require_root
from core.storage.database import Database, allow_time
from core.storage.invariants.alerts import crossings_are_reported_once
from core.storage.invariants.balances import amounts_are_exact, balances_are_sums, switches_conserve
from core.storage.invariants.dead_letters import bad_inputs_are_kept
from core.storage.invariants.events import conflicts_move_nothing, debits_are_what_came, one_debit_per_event
from core.storage.invariants.grants import grants_are_single
from core.storage.invariants.invariant import Breach, Invariant, find_breaches
from core.storage.invariants.references import local_days_are_those_of_the_time, mandates_stay_apart, settings_are_those_of_the_time
from core.storage.invariants.rollups import rollups_are_recomputable

SAMPLES_MAX = 5
INVARIANTS: tuple[Invariant, ...] = (
    one_debit_per_event(),
    debits_are_what_came(),
    balances_are_sums(),
    amounts_are_exact(),
    switches_conserve(),
    rollups_are_recomputable(),
    bad_inputs_are_kept(),
    conflicts_move_nothing(),
    mandates_stay_apart(),
    settings_are_those_of_the_time(),
    grants_are_single(),
    crossings_are_reported_once(),
    local_days_are_those_of_the_time(),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one invariant: how often it is broken, and the first few breaches."""

    invariant: str
    description: str
    violations: int
    samples: list[Breach]


def verify(database: Database, actor: Actor, *, samples_max: int = SAMPLES_MAX) -> list[Verdict]:
    """A verdict on each invariant, in the order of their numbers; all of them see the same moment.

    It reads the whole books, which takes minutes where there are millions of transactions, and writes nothing.

    Raises:
        Forbidden: the actor is not root.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    require_root(actor, "verify the books")
    with database.snapshot() as connection:
        allow_time(connection)
        return [Verdict(invariant.name, invariant.description, *find_breaches(connection, invariant, samples_max)) for invariant in INVARIANTS]
