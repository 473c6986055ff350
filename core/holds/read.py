"""Holds, for reading."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.request import Key, Moment
from core.asking.rights import Actor, require_root, sees_member
from core.asking.view import Arguments, deciding_view, view
from core.billing import HoldState
from core.database.listing import Rows
from core.database.rows import row
from core.directory.read import Mandates, mandates, mandates_of_user
from core.errors import NotFound
from core.events.contract import Id
from core.holds.sql import shown as sql
from core.printable import shown


@dataclass(frozen=True, slots=True)
class ShownHold:
    """A hold as it is by now: one that the clock has ended is EXPIRED. Fields as those of `core.holds.model.Hold`.

    `remaining` (CHF) is what it still keeps.
    """

    mandate_id: str
    hold_key: str
    user_id: str
    balance_account_id: int | None
    amount: Decimal
    state: HoldState
    captured: Decimal
    released: Decimal
    expired: Decimal
    used: Decimal
    over_hold: Decimal
    use_count: int
    late_count: int
    provider: str | None
    model: str | None
    feature_code: str | None
    price_version: int | None
    local_date: date
    authorised_at: datetime
    expires_at: datetime
    settled_at: datetime | None
    settled_by_id: int | None
    remaining: Decimal


@dataclass(frozen=True, slots=True)
class UnbilledHold:
    """A hold that expired without any usage: the call was allowed, and nobody was billed. `age_seconds` since it was authorised."""

    mandate_id: str
    hold_key: str
    user_id: str
    amount: Decimal
    provider: str | None
    model: str | None
    feature_code: str | None
    authorised_at: datetime
    expires_at: datetime
    settled_at: datetime
    age_seconds: int


_OF_MANDATES, _OF_USER = mandates("list the holds"), mandates_of_user("list the holds")


def _of_user_or_mandates(actor: Actor, given: Arguments) -> Callable[[Connection], object] | None:
    return (_OF_MANDATES if given["user_id"] is None else _OF_USER)(actor, given)


@deciding_view("view.hold")
def hold(connection: Connection, actor: Actor, mandate_id: Id, key: Key) -> ShownHold:
    """The hold under this key. Nobody but who sees all of the mandate learns whether it exists, if it isn't their own."""
    found = row(connection, ShownHold, sql.ONE, mandate_id=mandate_id, key=key)
    if not sees_member(actor, mandate_id, None if found is None else found.user_id):
        require_root(actor, f"read hold {shown(key)} of mandate {shown(mandate_id)}")
    if found is None:
        raise NotFound(f"mandate {shown(mandate_id)} has no hold {shown(key)}", field="key", value=key)
    return found


@view("view.list_holds", sees=_of_user_or_mandates)
def list_holds(
    connection: Connection,
    mandate_ids: Mandates = None,
    *,
    user_id: Id | None = None,
    state: HoldState | None = None,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    after: tuple[Id, Key] | None = None,
) -> list[ShownHold]:
    """Holds of these mandates, or of all that the actor may see, by mandate and key; of this user, in this state by now; None: any.

    `after` is mandate and key of the last row already seen. Holds of others, or in another state, are read and left out; but those that are
    open are found by themselves.
    """
    each = None if mandate_ids is None else {"mandate_id": mandate_ids}
    return sql.LIST.rows(connection, ShownHold, Rows(limit, offset, after), each, user_id=user_id, **sql.of_state(state))


@view("view.expired_holds", sees=mandates("list the holds"))
def expired_holds(
    connection: Connection,
    mandate_ids: Mandates = None,
    *,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    before: tuple[Moment, Id, Key] | None = None,
) -> list[UnbilledHold]:
    """Authorised, never billed: holds of these mandates, or of all that the actor may see, that expired without usage, the last expired first.

    Usage that comes later takes its hold off the list. `before` is `settled_at`, mandate and key of the last row already seen.
    """
    each = None if mandate_ids is None else {"mandate_id": mandate_ids}
    return sql.UNBILLED.rows(connection, UnbilledHold, Rows(limit, offset, before), each, unbilled=True)
