"""Whether the books are in order: every invariant that the database can answer, at one moment.

I7, I9 and I12 also need the producers' journal; that nothing is ever updated or deleted (I18) is the roles' business.
"""

from core.domain.rights import Actor, require_root
from core.storage.database import Database, allow_time
from core.storage.invariants.all import INVARIANTS
from core.storage.invariants.invariant import Verdict, judge

SAMPLES_MAX = 5


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
        return [judge(connection, invariant, samples_max) for invariant in INVARIANTS]
