"""For whom statements can be made: mandates with billing settings, and the users with accounts in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.view import mandate, view
from core.directory.read import Mandates, mandates
from core.events.contract import Id
from core.reports.sql import statements as sql


@dataclass(frozen=True, slots=True)
class StatementsDue:
    """The mandates that can have a statement, by id, and the database's time, as of which all of theirs can be made."""

    as_of: datetime
    mandate_ids: Sequence[str]


@view(None, sees=mandates("read the statements"))
def statements_due(connection: Connection, mandate_ids: Mandates = None) -> StatementsDue:
    """Of these mandates, or of all that the actor may see, those with billing settings."""
    named = None if mandate_ids is None else list(mandate_ids)
    found = connection.execute(sql.MANDATES, {"mandate_ids": named}).scalars().all()
    return StatementsDue(connection.execute(sql.NOW).scalar_one(), found)


@view(None, sees=mandate("read the statements"))
def users_due(connection: Connection, mandate_id: Id) -> Sequence[str]:
    """The users who have an account in the mandate, by id."""
    return connection.execute(sql.USERS, {"mandate_id": mandate_id}).scalars().all()
