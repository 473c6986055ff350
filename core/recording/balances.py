"""The balances that a batch moves: folded to one update per account, with what it frees of holds, and every line that one crosses."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from core.errors import StorageUnavailable
from core.holds.sql.capture import Taken, Use
from core.ledger.crossed import alerts_between
from core.ledger.sql.accounts import debit_accounts
from core.ledger.sql.alerts import BalanceAlert, write_alerts
from core.ledger.sql.transactions import UsageDebit
from core.money import ZERO
from core.recording.work import Work
from core.settings.model import BillingSettings


def debit_balances(
    work: Work, debits: list[UsageDebit], settings: dict[str, BillingSettings], holds: Sequence[tuple[Use, Taken]] = ()
) -> list[BalanceAlert]:
    """Takes the debits off the balances that pay for them, and what was freed of `holds` off what is held; the alerts, one per line crossed."""
    amounts: dict[int, Decimal] = defaultdict(lambda: ZERO)
    mandate_of: dict[int, str] = {}
    for debit in debits:
        payer = debit.balance_account_id
        if payer is not None and debit.amount:
            amounts[payer] += debit.amount
            mandate_of[payer] = debit.event.mandate_id
    freed: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for use, hold in holds:
        if hold.balance_account_id is not None and hold.freed:
            freed[hold.balance_account_id] += hold.freed
            mandate_of[hold.balance_account_id] = use.mandate_id
    if not mandate_of:
        return []
    amounts = {account_id: amounts[account_id] for account_id in sorted(mandate_of)}
    debited, near = debit_accounts(work.connection, amounts, [mandate_of[account_id] for account_id in amounts], freed)
    if debited != len(amounts):
        work.known_accounts.forget()
        raise StorageUnavailable("accounts are not those met before: the database was restored under this worker")
    alerts = [alert for was, after in near for alert in alerts_between(was, was._replace(balance=after), settings[was.mandate_id])]
    write_alerts(work.connection, alerts, work.batch.id)
    return alerts
