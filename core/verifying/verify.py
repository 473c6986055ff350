"""Whether the books are in order: every invariant that the database can answer, at one moment.

Amounts are computed again, which needs more than SQL: `core/verifying/recompute.py`. I7, I9 and I12 also need the producers' journal; that
nothing is ever updated or deleted (I18) is the roles' business.
"""

from sqlalchemy import Connection

from core.asking.view import root, view
from core.database.database import allow_time
from core.verifying.sql.invariants.all import INVARIANTS
from core.verifying.sql.invariants.invariant import Verdict, judge

SAMPLES_MAX = 5


@view(None, sees=root("verify the books"))
def verify(connection: Connection, *, samples_max: int = SAMPLES_MAX) -> list[Verdict]:
    """A verdict on each invariant, in the order of their numbers; all of them see the same moment.

    It reads the whole books, which takes minutes where there are millions of transactions.
    """
    allow_time(connection)
    return [judge(connection, invariant, samples_max) for invariant in INVARIANTS]
