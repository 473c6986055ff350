"""Removing a cap: from then on nothing counts in it, and it refuses nobody."""

from core.asking.request import By, Question, RowId
from core.asking.rights import Actor, require_root
from core.caps.read import ShownCap, find_cap
from core.caps.sql import kept as sql
from core.database.database import Database
from core.database.locks import hold_mandates


class CapRemoval(Question):
    """The cap that is to be removed, and who asks for it."""

    by: By
    cap_id: RowId


def remove_cap(database: Database, actor: Actor, asked: CapRemoval) -> ShownCap:
    """The cap is removed afterwards, and stays in the books; what it counted and told stays as it is. A repetition changes nothing.

    To set the same one again makes a new cap, which counts its running window anew.

    Raises:
        NotFound: the mandate has no such cap, and never had.
        StorageUnavailable: it is not known whether it was done; ask again.
    """
    require_root(actor, "remove a cap")
    with database.transaction() as connection:
        hold_mandates(connection, [asked.mandate_id])
        find_cap(connection, asked.mandate_id, asked.cap_id)
        if sql.remove(connection, asked.mandate_id, asked.cap_id, asked.by):
            sql.renew_token(connection, asked.mandate_id)
        return find_cap(connection, asked.mandate_id, asked.cap_id)
