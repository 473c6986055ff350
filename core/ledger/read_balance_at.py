"""The balance that counted at some moment: the own one or the pool's, by the billing model of that time."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection

from core.asking.request import DayOrMoment
from core.asking.view import member, view
from core.billing import BillingModel
from core.database.rows import row
from core.directory.read import member_name, without_settings
from core.errors import NotFound, RequestRefused
from core.events.contract import Id
from core.ledger.sql import balance_at as sql
from core.ledger.sql.balance_at import pool_balance_at, user_balance_at
from core.ledger.sql.shown_accounts import find_account_of
from core.money import ZERO
from core.printable import shown
from core.settings.sql.shown import find_settings

_YEAR_MAX = 9998  # the last day's end must be a time that Python has


@dataclass(frozen=True, slots=True)
class BalanceAt:
    """What paid for usage right before `moment`, in CHF. Without `account_id` no single account did."""

    mandate_id: str
    user_id: str | None
    billing_model: BillingModel
    account_id: int | None
    balance: Decimal
    moment: datetime


class _Rules(NamedTuple):
    """The billing model that a mandate had right before a moment."""

    billing_model: BillingModel
    moment: datetime


@view("view.balance_at", sees=member("read the balance"))
def balance_at(connection: Connection, mandate_id: Id, user_id: Id | None, at: DayOrMoment) -> BalanceAt:
    """The balance that paid for the user's usage, or for the mandate's, by all that was recorded before `at`.

    It is the sum of the movements whose `recorded_at` lies before the moment, whatever day they are about: what happened earlier
    and was recorded later doesn't count yet. Of a moment that lies ahead it is the present balance. Who is a member now decides, since
    the directory tells no earlier memberships.

    Args:
        connection: to read with.
        mandate_id: whose balance.
        user_id: as in `balance`; None: of the whole mandate.
        at: a moment (aware), or a day, which stands for its end in the mandate's time zone of that day.

    Raises:
        NotFound: the mandate had no billing settings yet, or the user is no enabled member of it.
        RequestRefused: the day is in the year 9999.
    """
    if at.year > _YEAR_MAX:
        raise RequestRefused(f"{at.isoformat()} is too far ahead", field="at", value=at)
    if find_settings(connection, mandate_id) is None:
        raise without_settings(connection, mandate_id)
    asked = {"moment": at, "day": None} if isinstance(at, datetime) else {"moment": None, "day": at}
    rules = row(connection, _Rules, sql.RULES, mandate_id=mandate_id, **asked)
    if rules is None:
        raise NotFound(f"mandate {shown(mandate_id)} had no billing settings yet at {at.isoformat()}")
    model, moment = rules
    if user_id is not None:
        member_name(connection, mandate_id, user_id)
    payer, balance = None, ZERO
    if model.pool_pays:
        payer = find_account_of(connection, mandate_id, None)
        balance = pool_balance_at(connection, mandate_id, payer.id, moment) if payer else ZERO
    elif model is BillingModel.PREPAY_USER and user_id is not None:
        payer = find_account_of(connection, mandate_id, user_id)
        balance = user_balance_at(connection, payer.id, moment) if payer else ZERO
    elif model is BillingModel.PREPAY_USER:
        balance = connection.execute(sql.OF_ALL_USERS, {"mandate_id": mandate_id, "moment": moment}).scalar_one()
    return BalanceAt(mandate_id, user_id, model, payer.id if payer else None, balance, moment)
