"""What isn't charged: by what an event itself says of its outcome."""

from datetime import datetime

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.directory.read import require_known
from core.errors import RequestRefused
from core.events.model import CallOutcome
from core.prices.change import add_dated, close, require_text
from core.prices.dated import UnchargedEntry
from core.prices.sql.changes import UNCHARGED
from core.prices.sql.state import hold_prices
from core.printable import shown

OUTCOMES = tuple(outcome.value for outcome in CallOutcome)


def add_uncharged(
    database: Database,
    actor: Actor,
    outcome: str,
    *,
    created_by: str,
    without_usage: bool = False,
    mandate_id: str | None = None,
    provider: str | None = None,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
) -> UnchargedEntry:
    """Calls that ended so cost the mandate nothing; what the provider takes is kept all the same. Repeatable.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        outcome: how a call ended: completed, cancelled, failed or timed_out.
        created_by: who does it.
        without_usage: it is for calls that tell no usage, which then cost nobody anything, instead of those that tell it.
        mandate_id: whose; None: of all.
        provider: of which provider; None: of any.
        valid_from: by when the call happened; None is no bound, and so below.
        valid_to: as told.

    Raises:
        RequestRefused: the same is there for another time that meets this one, or the outcome is none of these.
        NotFound: there is no such mandate.
    """
    require_root(actor, "change what isn't charged")
    if outcome not in OUTCOMES:
        raise RequestRefused(f"{shown(outcome)} is none of {', '.join(OUTCOMES)}", field="outcome", value=outcome)
    require_text("provider", provider)
    told = {"mandate_id": mandate_id, "provider": provider, "outcome": outcome, "without_usage": without_usage}
    with database.transaction() as connection:
        hold_prices(connection)
        if mandate_id is not None:
            require_known(connection, [mandate_id])
        times = {"valid_from": valid_from, "valid_to": valid_to}
        entry: UnchargedEntry = add_dated(connection, UNCHARGED, "outcome", "the same is said twice", **told, **times, created_by=created_by)
        return entry


def close_uncharged(database: Database, actor: Actor, uncharged_id: int, *, end: datetime, closed_by: str) -> UnchargedEntry:
    """Ends it, as `core.prices.change.close`."""
    entry: UnchargedEntry = close(database, actor, UNCHARGED, uncharged_id, end=end, closed_by=closed_by)
    return entry
