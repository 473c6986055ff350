"""The balances that a batch moves: folded to one update per account, and every line that one crosses."""

from collections import defaultdict
from decimal import Decimal

from core.errors import StorageUnavailable
from core.ledger.crossed import alerts_between
from core.ledger.sql.accounts import debit_accounts
from core.ledger.sql.alerts import write_alerts
from core.ledger.sql.transactions import UsageDebit
from core.money import ZERO
from core.recording.work import Work
from core.settings.model import BillingSettings


def debit_balances(work: Work, debits: list[UsageDebit], settings: dict[str, BillingSettings]) -> None:
    """Takes the debits off the balances that pay for them and writes one alert per line crossed."""
    amounts: dict[int, Decimal] = defaultdict(lambda: ZERO)
    mandate_of: dict[int, str] = {}
    for debit in debits:
        payer = debit.balance_account_id
        if payer is not None and debit.amount:
            amounts[payer] += debit.amount
            mandate_of[payer] = debit.event.mandate_id
    if not amounts:
        return
    amounts = dict(sorted(amounts.items()))
    debited, near = debit_accounts(work.connection, amounts, [mandate_of[account_id] for account_id in amounts])
    if debited != len(amounts):
        work.known_accounts.forget()
        raise StorageUnavailable("accounts are not those met before: the database was restored under this worker")
    alerts = [alert for was, after in near for alert in alerts_between(was, was._replace(balance=after), settings[was.mandate_id])]
    write_alerts(work.connection, alerts, work.batch.id)
