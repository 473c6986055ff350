"""Whether an AI call may be made: the rules of the balance check, which need nothing but numbers."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from core.billing import BillingModel
from core.money import ZERO


class Refusal(StrEnum):
    """Why a balance check refuses."""

    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    CREDIT_LIMIT_EXCEEDED = "CREDIT_LIMIT_EXCEEDED"
    ACCOUNT_DISABLED = "ACCOUNT_DISABLED"


@dataclass(frozen=True, slots=True)
class HeldBalance:
    """An account as a balance check sees it; amounts in CHF, no credit limit means none is set."""

    enabled: bool
    balance: Decimal
    credit_limit: Decimal | None


@dataclass(frozen=True, slots=True)
class Standing:
    """All that a balance check asks of the books, at one moment: the mandate's rules, the user's account and the pool."""

    billing_model: BillingModel
    block_on_zero_balance: bool
    user: HeldBalance | None
    pool: HeldBalance | None

    @property
    def payer(self) -> HeldBalance | None:
        """The account that pays; none under UNLIMITED, or before it is opened."""
        if self.billing_model is BillingModel.UNLIMITED:
            return None
        return self.pool if self.billing_model.pool_pays else self.user

    @property
    def answerable(self) -> bool:
        """Whether the account that pays is there, or nobody pays."""
        return self.billing_model is BillingModel.UNLIMITED or self.payer is not None

    @property
    def complete(self) -> bool:
        """Whether every account is there that the check has to look at: under UNLIMITED none is made for it."""
        return self.answerable and (self.billing_model is BillingModel.UNLIMITED or self.user is not None)

    def refusal(self, cost: Decimal) -> Refusal | None:
        """Why a call of this cost (CHF) may not be made now; none: it may. A disabled account comes before any balance."""
        payer = self.payer
        if any(account is not None and not account.enabled for account in (self.user, payer)):
            return Refusal.ACCOUNT_DISABLED
        if payer is None:
            return None
        if self.billing_model is BillingModel.CREDIT_POSTPAY:
            debt = max(ZERO, -payer.balance)
            exceeded = payer.credit_limit is not None and debt + cost > payer.credit_limit
            return Refusal.CREDIT_LIMIT_EXCEEDED if exceeded else None
        return Refusal.INSUFFICIENT_BALANCE if self.block_on_zero_balance and payer.balance < cost else None
