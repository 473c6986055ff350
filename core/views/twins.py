"""Likely twins, for reading: usage that a producer may have sent twice under two ids, which no ledger can tell from two calls."""

from collections.abc import Collection
from datetime import date

from core.domain.rights import Actor, visible_mandates
from core.errors import RequestRefused
from core.storage.database import Database
from core.storage.reading.twins import Twins, list_twins
from core.views.mandates import rows_of_mandates
from core.views.paging import LIMIT_DEFAULT, check_days, check_page

DAYS_MAX = 31
SECONDS_DEFAULT, SECONDS_MAX = 10, 3600
AT_LEAST_DEFAULT = 2


def twins(
    database: Database,
    actor: Actor,
    mandate_ids: Collection[str] | None = None,
    *,
    first: date,
    last: date,
    seconds: int = SECONDS_DEFAULT,
    at_least: int = AT_LEAST_DEFAULT,
    limit: int = LIMIT_DEFAULT,
    after: tuple[str, int] = ("", 0),
) -> list[Twins]:
    """Usage of one user with the same provider, model, token counts and price, each event within seconds of the one before.

    They may be honest calls all the same: it shows where to look. By mandate, and then by transaction id.

    Args:
        database: the books.
        actor: as whom it is asked.
        mandate_ids: of which mandates; None: of all that the actor may see.
        first: from this local day on.
        last: up to this local day, itself included; 31 days at most.
        seconds: between the times of two events that follow each other, 1 to 3,600.
        at_least: so many events, 2 or more.
        limit: groups at most.
        after: the mandate and transaction id of the last group already seen.

    Raises:
        Forbidden: the actor may not see one of the mandates.
        NotFound: there is no such mandate.
        RequestRefused: a number or the range of days is out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    visible = visible_mandates(actor, mandate_ids, "list the likely twins")
    check_page(limit)
    check_days(first, last)
    if (last - first).days >= DAYS_MAX:
        raise RequestRefused(f"to: {last.isoformat()} is more than {DAYS_MAX} days after {first.isoformat()}: ask for fewer")
    if not 1 <= seconds <= SECONDS_MAX:
        raise RequestRefused(f"seconds must be 1 to {SECONDS_MAX} (got {seconds})")
    if at_least < AT_LEAST_DEFAULT:
        raise RequestRefused(f"at_least must be {AT_LEAST_DEFAULT} or more (got {at_least})")
    how = {"first": first, "last": last, "seconds": seconds, "at_least": at_least, "limit": limit}
    return rows_of_mandates(database, mandate_ids, lambda connection: list_twins(connection, visible, after, **how))
