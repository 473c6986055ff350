"""Making the grants that could not be made when their accounts were opened."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from core.domain.billing import BillingModel, warning_threshold
from core.domain.settings import BillingSettings
from core.errors import RequestRefused
from core.operations.moving.move import alerts_between, balance_after
from core.storage.accounts import credit_balances, lock_accounts
from core.storage.backfill import DueGrant, clear_grants_due
from core.storage.balance_alerts import write_alerts
from core.storage.transactions import Grant, insert_grants


def make_due_grants(connection: Connection, due: Sequence[DueGrant], settings: Mapping[str, BillingSettings]) -> tuple[int, list[RequestRefused]]:
    """Makes each grant that is due, once for ever, as any other credit: balance, warning threshold and alerts follow.

    Returns the number made, and why others were refused: with the grant the balance, as it was read, would be more than the books
    can hold. Such an account waits on, and so does one whose mandate isn't PREPAY_USER; one whose mandate gives no credit waits no
    longer. A replay makes none.

    Args:
        connection: of the caller's transaction, in which the mandates can't change.
        due: in the order of their account ids.
        settings: of all of their mandates.
    """
    payable = [grant for grant in due if settings[grant.mandate_id].billing_model is BillingModel.PREPAY_USER]
    grants, refused = {}, []
    for g in payable:
        own = settings[g.mandate_id]
        try:
            balance_after(g.account_id, g.balance, own.default_user_credit)
        except RequestRefused as refusal:
            refused.append(refusal)
        else:
            grants[g.account_id] = Grant(g.account_id, own.default_user_credit, own)
    if without_credit := [i for i, grant in grants.items() if grant.amount == 0]:
        clear_grants_due(connection, without_credit)
    made = insert_grants(connection, [grant for grant in grants.values() if grant.amount > 0], None)
    before = {account.id: account for account in lock_accounts(connection, made)}
    after = {}
    for i, account in before.items():
        balance = account.balance + grants[i].amount
        after[i] = account._replace(balance=balance, warning_threshold=warning_threshold(grants[i].settings.warning_threshold_percent, balance))
    credit_balances(connection, {i: grants[i].amount for i in after}, {i: account.warning_threshold for i, account in after.items()})
    write_alerts(connection, [alert for i in after for alert in alerts_between(before[i], after[i], grants[i].settings)], None)
    return len(made), refused
