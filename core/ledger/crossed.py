"""Which lines an account crosses, whatever moved: its balance, its rules or its lines."""

from decimal import Decimal
from typing import Protocol

from core.billing import AlertKind, BillingModel, alerts_at, crossings
from core.ledger.sql.accounts import LockedAccount
from core.ledger.sql.alerts import BalanceAlert
from core.settings.model import BillingSettings


class Rules(Protocol):
    """What of a mandate's settings, in whatever form, decides which lines a balance is beyond."""

    @property
    def billing_model(self) -> BillingModel:
        """Who pays."""

    @property
    def warning_threshold_percent(self) -> Decimal:
        """How far from its limit a postpaid pool warns."""


def alerts_between(before: LockedAccount, after: LockedAccount, settings: BillingSettings, old: Rules | None = None) -> list[BalanceAlert]:
    """One alert for each line that the account crossed from `before` to `after`; none for an account that doesn't pay by now.

    Where the rules changed as well, `old` are those of before; who didn't pay under them was beyond no line.
    """
    return alerts_since(lines_beyond(old or settings, before), before, after, settings)


def alerts_since(told: dict[AlertKind, Decimal], before: LockedAccount, after: LockedAccount, settings: BillingSettings) -> list[BalanceAlert]:
    """As `alerts_between`, for an account that was beyond the lines `told`."""
    if not pays(settings.billing_model, after):
        return []
    return [BalanceAlert(before, after.balance, crossing, settings) for crossing in crossings(told, lines_beyond(settings, after))]


def lines_beyond(rules: Rules, account: LockedAccount) -> dict[AlertKind, Decimal]:
    """The lines that the account is beyond under these rules, none if it doesn't pay."""
    if not pays(rules.billing_model, account):
        return {}
    return alerts_at(rules.billing_model, account.balance, account.warning_threshold, account.credit_limit, rules.warning_threshold_percent)


def pays(model: BillingModel, account: LockedAccount) -> bool:
    """Whether usage is paid from this account under the model."""
    return model is not BillingModel.UNLIMITED and model.pool_pays == account.is_pool
