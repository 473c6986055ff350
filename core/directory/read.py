"""Which mandates there are: what the views say of one that isn't there, or has no billing settings yet."""

from collections.abc import Callable, Collection, Iterable
from typing import Annotated

from pydantic import Field, GetPydanticSchema
from sqlalchemy import Connection

from core.asking.rights import Actor, visible_mandates, visible_mandates_of
from core.asking.view import Arguments, Sees
from core.directory.sql.mandates import unknown_mandates
from core.directory.sql.members import find_member
from core.directory.sql.mirror import mandate_states
from core.errors import NotFound
from core.events.contract import Id
from core.printable import shown

_List = Annotated[list[Id], Field(min_length=1)]
# Which mandates; None: all that the actor may see. The view itself is given those that they may: a list, or None for every one.
Mandates = Annotated[Collection[str], GetPydanticSchema(lambda _, handler: handler(_List))] | None


def mandates(asked: str) -> Sees:
    """Who may see all of each of the `mandate_ids`, which must exist; without any, who is root or an administrator."""
    return _narrowed(lambda actor, given: visible_mandates(actor, given["mandate_ids"], asked))


def mandates_of_user(asked: str) -> Sees:
    """Who may see `user_id` in each of the `mandate_ids`, which must exist; without any, all but other users."""
    return _narrowed(lambda actor, given: visible_mandates_of(actor, given["user_id"], given["mandate_ids"], asked))


def require_known(connection: Connection, mandate_ids: Iterable[str]) -> None:
    """Returns if each of the mandates is known to the directory or has billing settings.

    Raises:
        NotFound: one is neither.
    """
    for mandate_id in unknown_mandates(connection, mandate_ids):
        raise NotFound(f"there is no mandate {shown(mandate_id)}: it has no billing settings, and the directory does not know it")


def member_name(connection: Connection, mandate_id: str, user_id: str) -> str:
    """The name of the user, who must be an enabled member of the mandate; whether they have an account doesn't matter.

    Raises:
        NotFound: they are none.
    """
    name = find_member(connection, mandate_id, user_id)
    if name is None:
        raise NotFound(f"user {shown(user_id)} is no enabled member of mandate {shown(mandate_id)}")
    return name


def without_settings(connection: Connection, mandate_id: str) -> NotFound:
    """The error about a mandate that has no billing settings: it tells whether and how they can come."""
    state = mandate_states(connection, [mandate_id]).get(mandate_id)
    if state is None:
        return NotFound(f"mandate {shown(mandate_id)} has no billing settings, and the directory does not know it")
    known, usage = ("known", "its first usage") if state.enabled else ("known, but disabled", "its first usage once it is enabled")
    return NotFound(
        f"mandate {shown(mandate_id)} is {known}, and has no billing settings yet: they come with {usage}, or with `tollbook settings update`"
    )


def _narrowed(visible: Callable[[Actor, Arguments], list[str] | None]) -> Sees:
    def sees(actor: Actor, given: Arguments) -> Callable[[Connection], None] | None:
        named = given["mandate_ids"]
        given["mandate_ids"] = visible(actor, given)
        return None if named is None else lambda connection: require_known(connection, named)

    return sees
