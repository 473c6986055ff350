"""What caps say of a call, by the counters that are committed now; nothing is locked."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from core.caps.counters import caps_of
from core.caps.free import is_free
from core.caps.judge import CapRefusal, read_counters, unjudged
from core.caps.model import Spending
from core.checks.model import Standing
from core.ledger.opening import KnownAccounts


class CapsSay(NamedTuple):
    """The first cap that refuses, if one does, and the ids of refusing caps on what the question doesn't name."""

    refusal: CapRefusal | None = None
    unjudged: tuple[int, ...] = ()


def judge_caps(connection: Connection, standing: Standing, spending: Spending, known: KnownAccounts, clock: datetime | None) -> CapsSay:
    """What the mandate's caps say of such a call now; without caps nothing is asked. A model whose rows are all free is never refused.

    Args:
        connection: that read the standing.
        standing: of the mandate.
        spending: whose call, and of what.
        known: where caps are remembered.
        clock: the present time (aware); None: the database's own.
    """
    caps = caps_of(connection, [standing], known).get(standing.mandate_id)
    if caps is None or standing.today is None:
        return CapsSay()
    day, zones = standing.today, {standing.mandate_id: standing.time_zone}
    refusal = read_counters(connection, [(caps, spending, day)], zones, clock).refusal(caps, spending, day)
    if refusal is not None and is_free(connection, spending, clock):
        refusal = None
    return CapsSay(refusal, unjudged(caps, spending))
