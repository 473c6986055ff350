"""Making grants: the initial credit of a user account, once for ever, which it begins with or which is due."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from core.billing import BillingModel
from core.directory.sql.missing import DueGrant, clear_grants_due
from core.errors import RequestRefused
from core.ledger.entry import Entry
from core.ledger.kinds import GRANT
from core.ledger.post import balance_after, moved, post
from core.ledger.sql.accounts import LockedAccount, lock_accounts
from core.ledger.sql.grants import claim_grants
from core.money import ZERO
from core.settings.model import BillingSettings


def begun(settings: BillingSettings) -> LockedAccount:
    """A user account as it begins with the mandate's grant: its balance and its warning threshold; its id is to be drawn."""
    return moved(LockedAccount(0, settings.mandate_id, False, ZERO, ZERO, None), [_grant(0, settings)])


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
    grants, refused = [], []
    for waiting in due:
        own = settings[waiting.mandate_id]
        if own.billing_model is BillingModel.PREPAY_USER:
            try:
                balance_after(waiting.account_id, waiting.balance, own.default_user_credit)
            except RequestRefused as refusal:
                refused.append(refusal)
            else:
                grants.append(_grant(waiting.account_id, own))
    if without_credit := [grant.account_id for grant in grants if grant.amount == 0]:
        clear_grants_due(connection, without_credit)
    made = claim_grants(connection, [grant for grant in grants if grant.amount > 0])
    post(connection, made, {account.id: account for account in lock_accounts(connection, [grant.account_id for grant in made])})
    return len(made), refused


def _grant(account_id: int, settings: BillingSettings) -> Entry:
    return Entry(settings, GRANT, account_id, account_id, settings.default_user_credit, GRANT.description, None, f"grant:{account_id}")
