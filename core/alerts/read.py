"""Alerts of balances, and of caps, for reading."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.alerts.sql import alerts as sql
from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.request import Moment, RowId
from core.asking.view import view
from core.billing import AlertKind, CapAction, CapDimension, CapPeriod, CapScope
from core.database.listing import Rows
from core.directory.read import Mandates, mandates


@dataclass(frozen=True, slots=True)
class Alert:
    """One crossing of a line; amounts in CHF. Neither published nor withheld: it waits."""

    id: int
    mandate_id: str
    account_id: int
    account_type: str | None
    user_id: str | None
    kind: str
    recovered: bool
    balance_before: Decimal
    balance_after: Decimal
    threshold: Decimal
    settings_version: int
    batch_id: int | None
    recorded_at: datetime
    published_at: datetime | None
    withheld_at: datetime | None


@dataclass(frozen=True, slots=True)
class ShownCapAlert:
    """A share of one window of a cap that was reached or left, by spending or by another limit; amounts in CHF.

    `user_id` is whose window it is, None of everybody's. Neither published nor withheld: it waits.
    """

    id: int
    mandate_id: str
    cap_id: int
    scope: CapScope
    user_id: str | None
    dimension: CapDimension | None
    value: str | None
    period: CapPeriod
    window_start: date
    action: CapAction
    share: int
    recovered: bool
    spent_before: Decimal
    spent_after: Decimal
    threshold: Decimal
    limit_chf: Decimal
    batch_id: int | None
    recorded_at: datetime
    published_at: datetime | None
    withheld_at: datetime | None


@view("view.list_alerts", sees=mandates("list the alerts"))
def list_alerts(
    connection: Connection,
    mandate_ids: Mandates = None,
    *,
    kind: AlertKind | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    waiting: bool = False,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    before: RowId | None = None,
) -> list[Alert]:
    """Alerts of these mandates, or of all that the actor may see, of this kind, newest first; None: any.

    Those recorded at `since` or later and before `until`, both aware.
    With `waiting` only those that are neither published nor withheld; `before` is the id of the last row already seen.
    """
    each = None if mandate_ids is None else {"mandate_id": mandate_ids}
    given = {"kind": kind and kind.value, "since": since, "until": until, "waiting": waiting}
    return sql.LIST.rows(connection, Alert, Rows(limit, offset, before), each, **given)


@view("view.list_cap_alerts", sees=mandates("list the alerts of caps"))
def list_cap_alerts(
    connection: Connection,
    mandate_ids: Mandates = None,
    *,
    cap_id: RowId | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    waiting: bool = False,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
    before: RowId | None = None,
) -> list[ShownCapAlert]:
    """As `list_alerts`, of caps: of these mandates, or of all that the actor may see; with `cap_id` of that cap alone."""
    each = None if mandate_ids is None else {"mandate_id": mandate_ids}
    return sql.LIST_OF_CAPS.rows(
        connection, ShownCapAlert, Rows(limit, offset, before), each, cap_id=cap_id, since=since, until=until, waiting=waiting
    )
