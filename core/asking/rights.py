"""Who may ask for what: the one place where that is decided.

Root, which is who runs the commands and the worker itself, may everything. An administrator sees what is of their mandates,
a user what is of themselves. Only root changes anything, and only root sees what is of no mandate, such as jobs and batches.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict

from core.errors import Forbidden, RequestRefused
from core.events.contract import Id
from core.printable import shown


class Role(StrEnum):
    """What somebody is to the books."""

    ROOT = "root"
    ADMINISTRATOR = "administrator"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Actor:
    """As whom something is asked: root, the administrator of `mandate_ids`, or the user `user_id`."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")  # a misspelt field must not leave somebody with more rights

    role: Role
    mandate_ids: frozenset[Id] = field(default_factory=frozenset)
    user_id: Id | None = None

    def __post_init__(self) -> None:
        """Refuses who is not told completely, or is two things at once."""
        if bool(self.mandate_ids) != (self.role is Role.ADMINISTRATOR) or (self.user_id is not None) != (self.role is Role.USER):
            raise ValueError("must have mandate_ids as administrator, user_id as user, and neither as root")

    def __str__(self) -> str:
        """The actor as `--as` takes it."""
        match self.role:
            case Role.ROOT:
                return self.role
            case Role.ADMINISTRATOR:
                return f"{self.role}:{','.join(sorted(self.mandate_ids))}"
            case Role.USER:
                return f"{self.role}:{self.user_id}"


ROOT = Actor(Role.ROOT)


def administrator(*mandate_ids: str) -> Actor:
    """The administrator of these mandates."""
    return Actor(Role.ADMINISTRATOR, mandate_ids=frozenset(mandate_ids))


def user(user_id: str) -> Actor:
    """The user with this id, in whatever mandates."""
    return Actor(Role.USER, user_id=user_id)


def parse_actor(text: str) -> Actor:
    """The actor that was typed: `root`, `administrator:MANDATE[,MANDATE…]` or `user:USER`.

    Raises:
        RequestRefused: it is none of these.
    """
    role, _, whom = text.partition(":")
    if text == Role.ROOT:
        return ROOT
    if role == Role.ADMINISTRATOR and whom and all(ids := whom.split(",")):
        return administrator(*ids)
    if role == Role.USER and whom:
        return user(whom)
    raise RequestRefused(f"{shown(text)} is none of root, administrator:MANDATE[,MANDATE] and user:USER", field="as", value=text)


def is_root(actor: Actor) -> bool:
    """Whether the actor is root, who alone may change or open anything."""
    return actor.role is Role.ROOT


def require_root(actor: Actor, asked: str) -> None:
    """Returns if the actor is root.

    Args:
        actor: as whom it is asked.
        asked: what, as the error is to tell it: "top up a balance".

    Raises:
        Forbidden: they are not.
    """
    if not is_root(actor):
        raise _forbidden(actor, asked)


def sees_member(actor: Actor, mandate_id: str, user_id: str | None) -> bool:
    """Whether the actor may see what is of this user in this mandate, or without a user what is of the mandate as a whole."""
    return _sees_mandate(actor, mandate_id) or (user_id is not None and _is(actor, user_id))


def require_mandate(actor: Actor, mandate_id: str, asked: str) -> None:
    """Returns if the actor may see all that is of this mandate: root, or its administrator.

    Raises:
        Forbidden: the actor is none of them.
    """
    if not _sees_mandate(actor, mandate_id):
        raise _forbidden(actor, f"{asked} of mandate {shown(mandate_id)}")


def require_member(actor: Actor, mandate_id: str, user_id: str | None, asked: str) -> None:
    """Returns if the actor may see what is of this user in this mandate: root, its administrator, or that user.

    Without a user it is of the mandate as a whole.

    Raises:
        Forbidden: the actor is none of them.
    """
    if user_id is None:
        require_mandate(actor, mandate_id, asked)
    elif not sees_member(actor, mandate_id, user_id):
        raise _forbidden(actor, f"{asked} of user {shown(user_id)} in mandate {shown(mandate_id)}")


def visible_mandates(actor: Actor, wanted: Collection[str] | None, asked: str) -> list[str] | None:
    """The mandates whose whole the actor may see: the wanted ones, or without any all that are open to them, sorted; None for every one.

    Raises:
        Forbidden: the actor may not see one of the wanted, or is no administrator.
    """
    for mandate_id in wanted or ():
        require_mandate(actor, mandate_id, asked)
    if wanted is None and actor.role is Role.USER:
        raise _forbidden(actor, f"{asked} of mandates")
    return _among(actor, wanted)


def visible_mandates_of(actor: Actor, user_id: str, wanted: Collection[str] | None, asked: str) -> list[str] | None:
    """The mandates in which the actor may see what is of this user, as `visible_mandates`: to that user all are open.

    Raises:
        Forbidden: the actor may not see one of the wanted, or is another user.
    """
    for mandate_id in wanted or ():
        require_member(actor, mandate_id, user_id, asked)
    if actor.role is Role.USER and not _is(actor, user_id):
        raise _forbidden(actor, f"{asked} of user {shown(user_id)}")
    return _among(actor, wanted)


def _sees_mandate(actor: Actor, mandate_id: str) -> bool:
    return is_root(actor) or (actor.role is Role.ADMINISTRATOR and mandate_id in actor.mandate_ids)


def _is(actor: Actor, user_id: str) -> bool:
    return actor.role is Role.USER and actor.user_id == user_id


def _among(actor: Actor, wanted: Collection[str] | None) -> list[str] | None:
    if wanted is None:
        return sorted(actor.mandate_ids) if actor.role is Role.ADMINISTRATOR else None
    return sorted(set(wanted))


def _forbidden(actor: Actor, asked: str) -> Forbidden:
    return Forbidden(f"{shown(str(actor))} may not {asked}")
