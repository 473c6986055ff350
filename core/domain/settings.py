"""A mandate's billing settings, as the recording of usage needs them."""

from dataclasses import dataclass
from decimal import Decimal

from core.domain.billing import BillingModel


@dataclass(frozen=True, slots=True)
class BillingSettings:
    """One mandate's billing settings at one version; amounts in CHF."""

    mandate_id: str
    billing_model: BillingModel
    default_user_credit: Decimal
    warning_threshold_percent: Decimal
    time_zone: str
    version: int
