"""Whether an AI call may be made: the rules of the balance check, which need nothing but numbers."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from core.billing import BillingModel, available_of
from core.money import ZERO


class Refusal(StrEnum):
    """Why a balance check or an authorisation refuses."""

    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    CREDIT_LIMIT_EXCEEDED = "CREDIT_LIMIT_EXCEEDED"
    ACCOUNT_DISABLED = "ACCOUNT_DISABLED"
    CAP_EXCEEDED = "CAP_EXCEEDED"
    UNPRICED_MODEL = "UNPRICED_MODEL"  # what is estimated has no price


@dataclass(frozen=True, slots=True)
class HeldBalance:
    """An account as a balance check sees it; amounts in CHF, no credit limit means none is set."""

    enabled: bool
    balance: Decimal
    credit_limit: Decimal | None
    held: Decimal = ZERO  # what open holds keep of it

    @property
    def available(self) -> Decimal:
        """What of the balance no hold keeps."""
        return self.balance - self.held


@dataclass(frozen=True, slots=True)
class Standing:
    """All that a balance check asks of the books, at one moment: the mandate's rules, the user's account and the pool.

    `caps_token` tells which caps it has, None: it has none; `today` is its local day by `time_zone`, None where nobody asked.
    """

    billing_model: BillingModel
    block_on_zero_balance: bool
    user: HeldBalance | None
    pool: HeldBalance | None
    mandate_id: str = ""
    caps_token: UUID | None = None
    time_zone: str = "UTC"
    today: date | None = None

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

    @property
    def available(self) -> Decimal | None:
        """What may still be held, in CHF: of a balance what no hold keeps, of a credit limit what neither debt nor holds take.

        None: there is no bound, or nobody pays. Below zero where more was used than there was.
        """
        payer = self.payer
        return None if payer is None else available_of(self.billing_model, payer.balance, payer.held, payer.credit_limit)

    def refusal(self, cost: Decimal) -> Refusal | None:
        """Why a call of this cost (CHF) may not be made now; none: it may. A disabled account comes before any balance."""
        payer = self.payer
        if any(account is not None and not account.enabled for account in (self.user, payer)):
            return Refusal.ACCOUNT_DISABLED
        if payer is None:
            return None
        if self.billing_model is BillingModel.CREDIT_POSTPAY:
            debt = max(ZERO, -payer.balance)
            exceeded = payer.credit_limit is not None and debt + payer.held + cost > payer.credit_limit
            return Refusal.CREDIT_LIMIT_EXCEEDED if exceeded else None
        return Refusal.INSUFFICIENT_BALANCE if self.block_on_zero_balance and payer.available < cost else None
