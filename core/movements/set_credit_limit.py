"""Setting a credit limit: how far a pool may go into debt under CREDIT_POSTPAY."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.request import Amount, Request, RowId
from core.database.database import transaction_time
from core.errors import RequestRefused
from core.ledger.crossed import alerts_between
from core.ledger.hold import locked_accounts
from core.ledger.sql import account_rules
from core.ledger.sql.alerts import write_alerts
from core.movements.movement import movement, under_key
from core.settings.model import BillingSettings


class CreditLimit(Request):
    """The limit that a pool is to have: CHF, at least 0, where 0 is a limit too and None is none."""

    account_id: RowId
    credit_limit: Amount | None


@dataclass(frozen=True, slots=True)
class CreditLimitResult:
    """A pool's limit before and after (CHF), who set it and when: with its key, this is the limit's history."""

    mandate_id: str
    account_id: int
    old_credit_limit: Decimal | None
    credit_limit: Decimal | None
    balance: Decimal
    by: str
    recorded_at: datetime
    repeated: bool = False


@movement("movement.set_credit_limit", "set a credit limit")
@under_key()
def set_credit_limit(connection: Connection, settings: BillingSettings, asked: CreditLimit) -> CreditLimitResult:
    """Sets the limit and writes an alert for each line that the pool's debt crosses by it: a limit below the debt is a crossing.

    Under another model than CREDIT_POSTPAY it is kept and means nothing. A replay returns the first result and undoes nothing
    that came later.

    Raises:
        NotFound: the mandate has no such account.
        RequestRefused: the account is no pool.
    """
    before = locked_accounts(connection, asked.mandate_id, {asked.account_id})[asked.account_id]
    if not before.is_pool:
        raise RequestRefused(f"{before.id} is a user's account, and only a pool has a credit limit", field="account_id", value=before.id)
    account_rules.set_credit_limit(connection, before.id, asked.credit_limit)
    write_alerts(connection, alerts_between(before, before._replace(credit_limit=asked.credit_limit), settings), None)
    time = transaction_time(connection)
    return CreditLimitResult(asked.mandate_id, before.id, before.credit_limit, asked.credit_limit, before.balance, asked.by, time)
