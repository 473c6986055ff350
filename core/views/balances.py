"""Balances over many mandates and users, for reading: one query each, page by page, each page after the last row of the one before."""

from collections.abc import Collection

from core.domain.rights import Actor, visible_mandates, visible_mandates_of
from core.storage.database import Database
from core.storage.reading import balances
from core.storage.reading.balances import AccountBalance, MandateBalance, UserBalance
from core.views.mandates import rows_of_mandates
from core.views.paging import LIMIT_DEFAULT, check_page


def balances_of_user(
    database: Database, actor: Actor, user_id: str, mandate_ids: Collection[str] | None = None, *, limit: int = LIMIT_DEFAULT, after: str = ""
) -> list[UserBalance]:
    """What pays for the user's usage in each mandate of which they are an enabled member, by mandate id: the own balance or the pool's.

    UNLIMITED mandates, such without settings and such whose paying account doesn't exist yet are left out.

    Args:
        database: the books.
        actor: as whom it is asked.
        user_id: whose usage.
        mandate_ids: in which mandates; None: in all in which the actor may see them.
        limit: mandates at most.
        after: the mandate id of the last row already seen.

    Raises:
        Forbidden: the actor may not see the user there.
        NotFound: there is no such mandate.
        RequestRefused: the limit is out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    visible = visible_mandates_of(actor, user_id, mandate_ids, "read the balances")
    check_page(limit)
    return rows_of_mandates(database, mandate_ids, lambda connection: balances.list_balances_of_user(connection, user_id, visible, after, limit))


def mandate_balances(
    database: Database, actor: Actor, mandate_ids: Collection[str] | None = None, *, limit: int = LIMIT_DEFAULT, after: str = ""
) -> list[MandateBalance]:
    """The balance of each mandate that has settings, by mandate id: the sum over its users or the pool; UNLIMITED with 0.

    Args:
        database: the books.
        actor: as whom it is asked.
        mandate_ids: which mandates; None: all that the actor may see.
        limit: mandates at most.
        after: the mandate id of the last row already seen.

    Raises:
        Forbidden: the actor may not see one of them.
        NotFound: there is no such mandate.
        RequestRefused: the limit is out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    visible = visible_mandates(actor, mandate_ids, "read the balances")
    check_page(limit)
    return rows_of_mandates(database, mandate_ids, lambda connection: balances.list_mandate_balances(connection, visible, after, limit))


def user_balances(
    database: Database,
    actor: Actor,
    mandate_ids: Collection[str] | None = None,
    *,
    limit: int = LIMIT_DEFAULT,
    after: tuple[str, str] = ("", ""),
) -> list[AccountBalance]:
    """The user accounts of these mandates with their own balances, by mandate and user id.

    Args:
        database: the books.
        actor: as whom it is asked.
        mandate_ids: of which mandates; None: of all that the actor may see.
        limit: accounts at most.
        after: the mandate and user id of the last row already seen.

    Raises:
        Forbidden: the actor may not see one of the mandates.
        NotFound: there is no such mandate.
        RequestRefused: the limit is out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    visible = visible_mandates(actor, mandate_ids, "list the user balances")
    check_page(limit)
    return rows_of_mandates(database, mandate_ids, lambda connection: balances.list_account_balances(connection, visible, after, limit))
