"""The balances that a batch moves: folded to one update per account, and every line that one crosses."""

from collections import defaultdict
from decimal import Decimal

from core.domain.billing import AlertKind, alerts_at, crossings
from core.domain.money import ZERO
from core.domain.settings import BillingSettings
from core.errors import StorageUnavailable
from core.operations.recording.work import Work
from core.storage.accounts import LockedAccount, lock_accounts, move_balances
from core.storage.balance_alerts import BalanceAlert, write_alerts
from core.storage.transactions import UsageDebit


def debit_balances(work: Work, debits: list[UsageDebit], settings: dict[str, BillingSettings]) -> None:
    """Takes the debits off the balances that pay for them and writes one alert per line crossed."""
    deltas: dict[int, Decimal] = defaultdict(lambda: ZERO)
    mandate_of: dict[int, str] = {}
    for debit in debits:
        if debit.balance_account_id is not None and debit.event.price_chf:
            deltas[debit.balance_account_id] -= debit.event.price_chf
            mandate_of[debit.balance_account_id] = debit.settings.mandate_id
    if not deltas:
        return
    locked = lock_accounts(work.connection, deltas)
    if {account.id: account.mandate_id for account in locked} != mandate_of:
        work.known_accounts.forget()
        raise StorageUnavailable("accounts are not those met before: the database was restored under this worker")
    move_balances(work.connection, deltas)
    alerts = [alert for account in locked for alert in _alerts(account, deltas[account.id], settings[account.mandate_id])]
    write_alerts(work.connection, alerts, work.batch.id)


def _alerts(account: LockedAccount, delta: Decimal, settings: BillingSettings) -> list[BalanceAlert]:
    def lines(balance: Decimal) -> dict[AlertKind, Decimal]:
        return alerts_at(settings.billing_model, balance, account.warning_threshold, account.credit_limit, settings.warning_threshold_percent)

    after = account.balance + delta
    beyond = lines(after)
    if not beyond:  # a debit only takes off: what is on the right side of every line now was so before
        return []
    return [BalanceAlert(account, after, crossing, settings) for crossing in crossings(lines(account.balance), beyond)]
