"""The balance that counts: the own one or the pool's, by billing model."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.question import Clock
from core.asking.view import member, view
from core.billing import AlertKind, BillingModel, alerts_at, available_of
from core.directory.read import member_name, without_settings
from core.events.contract import Id
from core.ledger.sql.shown_accounts import Account, Balance, balance_of_users, find_account_of
from core.money import ZERO
from core.settings.model import MandateSettings
from core.settings.sql.shown import find_settings


@dataclass(frozen=True, slots=True)
class EffectiveBalance:
    """What pays for usage now; amounts in CHF. Without `account_id` no single account does.

    `held` is what open holds keep of the balance; what the clock has ended isn't held any more. `available` is what there still is to be
    held or used: the balance less that, and under CREDIT_POSTPAY the credit limit less debt and what is held. It is None where nothing
    bounds it, without a credit limit and under UNLIMITED, and below zero once more was used or is held than there was.
    """

    mandate_id: str
    mandate_name: str
    user_id: str | None
    user_name: str | None
    billing_model: BillingModel
    account_id: int | None
    balance: Decimal
    held: Decimal
    available: Decimal | None
    warning_threshold: Decimal
    is_warning: bool
    credit_limit: Decimal | None


@view("view.balance", sees=member("read the balance"))
def balance(connection: Connection, mandate_id: Id, user_id: Id | None = None, clock: Clock = None) -> EffectiveBalance:
    """The balance that pays for the user's usage, or for the mandate's; a user may see what pays for their own usage, the pool's too.

    PREPAY_USER: the user's own account, or for the mandate the sum over its users, which never warns. PREPAY_MANDATE and
    CREDIT_POSTPAY: the pool. 0 before the account that pays is opened. UNLIMITED: 0, nobody pays. Memberships decide whose usage
    it can be: a disabled member sees nothing of the pool, an enabled one needs no account of their own.

    Raises:
        NotFound: the mandate has no billing settings, or the user is no enabled member of it.
    """
    settings = find_settings(connection, mandate_id)
    if settings is None:
        raise without_settings(connection, mandate_id)
    payer, total = None, Balance(ZERO, ZERO)
    user_name = None if user_id is None else member_name(connection, mandate_id, user_id)
    model = settings.billing_model
    if model.pool_pays:
        payer = find_account_of(connection, mandate_id, None, clock)
    elif model is BillingModel.PREPAY_USER and user_id is None:
        total = balance_of_users(connection, mandate_id, clock)
    elif model is BillingModel.PREPAY_USER:
        payer = find_account_of(connection, mandate_id, user_id, clock)
    return _effective(settings, user_id, user_name, payer, total)


def is_warning(settings: MandateSettings, payer: Account) -> bool:
    """Whether this account, which pays under the mandate's model, has reached its warning threshold."""
    beyond = alerts_at(settings.billing_model, payer.balance, payer.warning_threshold, payer.credit_limit, settings.warning_threshold_percent)
    return AlertKind.WARNING in beyond


def _effective(settings: MandateSettings, user_id: str | None, user_name: str | None, payer: Account | None, total: Balance) -> EffectiveBalance:
    balance, held = (payer.balance, payer.held) if payer else total
    credit_limit = payer.credit_limit if payer else None
    return EffectiveBalance(
        settings.mandate_id,
        settings.mandate_name,
        user_id,
        user_name,
        settings.billing_model,
        payer.id if payer else None,
        balance,
        held,
        available_of(settings.billing_model, balance, held, credit_limit),
        payer.warning_threshold if payer else ZERO,
        is_warning(settings, payer) if payer else False,
        credit_limit,
    )
