"""Erasing a person: names and free text go, the id stays as a pseudonym, and so do all amounts."""

from collections.abc import Sequence

from core.database.database import Database, allow_time
from core.dead_letters.sql.status import hold_decisions
from core.errors import NotFound
from core.housekeeping.sql.erasures import erase_user as erase
from core.housekeeping.sql.erasures import keep_erasure, knows_user
from core.printable import shown


def erase_user(
    owner_database: Database, user_id: str, *, mandate_ids: Sequence[str] | None = None, by: str, reason: str, dry_run: bool = False
) -> dict[str, int]:
    """In one transaction: names, descriptions of the user's entries and bodies of resolved letters that name the user are gone, which is logged.

    Repeatable: a second time erases what has come since. No amount, key, hash or time changes.

    Args:
        owner_database: under the owner's login; no other may change what is written.
        user_id: stays in the books.
        mandate_ids: only in these, and the names stay; by default everywhere.
        by: whose word it is.
        reason: kept with it.
        dry_run: only count.

    Raises:
        NotFound: nothing is known of the user.
        Misconfigured: the login may not do it.
        StorageUnavailable: nothing was erased, or it isn't known; call again.
    """
    with owner_database.transaction() as connection:
        allow_time(connection)
        hold_decisions(connection)
        if not knows_user(connection, user_id):
            raise NotFound(f"nothing is known of {shown(user_id)}", field="user_id", value=user_id)
        counts = erase(connection, user_id, mandate_ids)
        if dry_run:
            connection.rollback()
        else:
            keep_erasure(connection, user_id, mandate_ids, erased_by=by, reason=reason, counts=counts)
    return counts
