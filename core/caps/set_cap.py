"""Setting a cap: what was used in its running window counts from the first moment on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field
from sqlalchemy import Connection

from core.asking.request import Amount, By, Question
from core.asking.rights import Actor, require_root
from core.billing import CapAction, CapDimension, CapPeriod, CapScope
from core.caps.model import SHARES_DEFAULT, Cap, CounterKey, Reached, share_line, window_start
from core.caps.read import ShownCap, find_cap
from core.caps.sql import kept as sql
from core.caps.sql.alerts import CapAlert, write_cap_alerts
from core.caps.sql.expected import count_cap
from core.database.database import Database, allow_time
from core.database.locks import hold_mandates
from core.directory.read import without_settings
from core.errors import RequestRefused
from core.events.contract import Id, Name
from core.printable import shown

CAPS_MAX = 200  # of one mandate at a time: each may be one more counter for every event
SHARES_MAX = 20
_Share = Annotated[int, Field(strict=True, ge=1, le=1000)]


class NewCap(Question):
    """At most `limit_chf` CHF in each window, for whom and on what; `shares` are percent of the limit that are told when they are reached.

    Without a `scope` it is that of the user, if one is named, else everybody's together. `action` and `shares` that aren't named stay as they
    are; a new cap then refuses, and tells 50, 80 and 100 %.
    """

    by: By
    period: CapPeriod
    limit_chf: Amount
    scope: CapScope | None = None
    user_id: Id | None = None
    dimension: CapDimension | None = None
    value: Name | None = None
    action: CapAction | None = None
    shares: Annotated[tuple[_Share, ...], Field(max_length=SHARES_MAX)] | None = None


class CapDone(StrEnum):
    """What became of a cap that was set."""

    CREATED = "CREATED"
    CHANGED = "CHANGED"
    UNCHANGED = "UNCHANGED"


@dataclass(frozen=True, slots=True)
class CapSet:
    """The cap as it is now, what was done, and how many shares were reached or left by that, whether they were told before or not."""

    cap: ShownCap
    done: CapDone
    crossings: int


def set_cap(database: Database, actor: Actor, asked: NewCap, *, clock: datetime | None = None) -> CapSet:
    """The mandate has this cap afterwards, counting what its running window has seen so far; a repetition changes nothing.

    A present cap of the same scope, user, dimension, value and period gets the new limit, and action and shares if they are named, and keeps
    its windows. For
    present windows an alert tells each share that is newly reached, or no more, by that. Usage of the mandate waits meanwhile: a new cap
    reads the ledger of its window, a TOTAL all of it.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        asked: the cap.
        clock: which window is running; None: the database's own.

    Raises:
        NotFound: the mandate has no billing settings.
        RequestRefused: what is asked contradicts itself, or the mandate has 200 caps.
        StorageUnavailable: it is not known whether it was done; ask again.
    """
    require_root(actor, "set a cap")
    values = _values(asked)
    with database.transaction() as connection:
        hold_mandates(connection, [asked.mandate_id])
        today = sql.find_today(connection, asked.mandate_id, clock)
        if today is None:
            raise without_settings(connection, asked.mandate_id)
        start = window_start(asked.period, today)
        old = sql.find_present(connection, values)
        values |= _rules(asked, old)
        if old is None:
            _require_room(connection, asked.mandate_id)
            allow_time(connection)
            cap_id = sql.insert_cap(connection, values, start)
            count_cap(connection, cap_id)
        elif (old.limit_chf, old.action, list(old.shares)) == (asked.limit_chf, values["action"], values["shares"]):
            return CapSet(find_cap(connection, asked.mandate_id, old.id), CapDone.UNCHANGED, 0)
        else:
            cap_id = old.id
            sql.change_cap(connection, cap_id, values)
        sql.renew_token(connection, asked.mandate_id)
        new = sql.find_present(connection, values)
        assert new is not None, "it was just written"
        lines = [share_line(cap.limit_chf, share) for cap in (new, old or new) for share in cap.shares]
        alerts = _crossed(old, new, sql.spent_since(connection, cap_id, start, min(lines))) if lines else []
        write_cap_alerts(connection, alerts, None)
        done = CapDone.CREATED if old is None else CapDone.CHANGED
        return CapSet(find_cap(connection, asked.mandate_id, cap_id), done, len(alerts))


def _values(asked: NewCap) -> dict[str, object]:
    """The columns of the cap.

    Raises:
        RequestRefused: two fields contradict each other.
    """
    scope = asked.scope or (CapScope.ALL if asked.user_id is None else CapScope.USER)
    if (scope is CapScope.USER) != (asked.user_id is not None):
        wrong = "is missing: whose usage is capped?" if asked.user_id is None else f"{shown(asked.user_id)} is named beside scope {scope}"
        raise RequestRefused(wrong, field="user_id", value=asked.user_id)
    if (asked.dimension is None) != (asked.value is None):
        raise RequestRefused("is named without the other: dimension and value go together", field="value" if asked.value else "dimension")
    return {
        "mandate_id": asked.mandate_id,
        "scope": scope.value,
        "user_id": asked.user_id or "",
        "dimension": asked.dimension.value if asked.dimension else "",
        "value": asked.value or "",
        "period": asked.period.value,
        "limit_chf": asked.limit_chf,
        "by": asked.by,
    }


def _rules(asked: NewCap, old: Cap | None) -> dict[str, object]:
    """What the cap does, by what is asked, or else as it was.

    Raises:
        RequestRefused: it would do nothing.
    """
    action = asked.action or (CapAction.REFUSE if old is None else old.action)
    shares = asked.shares if asked.shares is not None else SHARES_DEFAULT if old is None else old.shares
    if action is CapAction.ALERT and not shares:
        raise RequestRefused("is empty: a cap that only alerts needs a share to tell", field="shares", value=shares)
    return {"action": action.value, "shares": sorted(set(shares))}


def _require_room(connection: Connection, mandate_id: str) -> None:
    if sql.count_present(connection, mandate_id) >= CAPS_MAX:
        raise RequestRefused(
            f"{shown(mandate_id)} has {CAPS_MAX} caps, as many as a mandate may have: remove one", field="mandate_id", value=mandate_id
        )


def _crossed(old: Cap | None, new: Cap, spent: Mapping[CounterKey, Decimal]) -> list[CapAlert]:
    """The shares that each of these counters has reached, or left, since the cap is `new` and was `old`; spending stays."""
    alerts = []
    for key, amount in spent.items():
        before = {} if old is None else {share: amount >= share_line(old.limit_chf, share) > 0 for share in old.shares}
        for share in new.shares:
            line = share_line(new.limit_chf, share)
            is_reached = amount >= line > 0
            if is_reached != before.get(share, False):
                alerts.append(CapAlert(new, key, Reached(share, line, not is_reached), amount, amount))
    return alerts
