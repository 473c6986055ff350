"""A hold: an amount kept for one call, settled once, by its usage event, by its release or by its expiry."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from core.billing import HoldState

TTL_DEFAULT = timedelta(minutes=15)
TTL_MAX = timedelta(hours=24)  # also of all renewals together


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold as it stands; amounts in CHF.

    Attributes:
        mandate_id: whose.
        hold_key: what its event names it by; unique in the mandate for ever.
        user_id: whose call it is for.
        balance_account_id: whose `held` it is part of while it is open: who pays for the user now. None: nobody does.
        amount: what was authorised; 0 where an event came before the authorisation.
        state: OPEN until it is settled.
        captured: of the amount, what usage has taken.
        released: of the amount, what was given back by its release, or by the event that was final.
        expired: of the amount, what was given back by the clock.
        used: what the events under its key came to, all together; not bounded by the amount.
        over_hold: what of `used` captures had no amount left for.
        use_count: the events of its user under its key.
        late_count: those among them that came once it was settled.
        provider, model, feature_code: as the question named them.
        price_version: by which version of the price book an estimate was priced; None where an amount was asked for.
        local_date: the mandate's day of the authorisation, in whose windows of caps it counts.
        authorised_at: by the database's clock.
        expires_at: from then on it is not held any more.
        settled_at: when it was.
        settled_by_id: the debit that settled it, if one did: of the event that was final, or that came once it was over.
    """

    mandate_id: str
    hold_key: str
    user_id: str
    balance_account_id: int | None
    amount: Decimal
    state: HoldState
    captured: Decimal
    released: Decimal
    expired: Decimal
    used: Decimal
    over_hold: Decimal
    use_count: int
    late_count: int
    provider: str | None
    model: str | None
    feature_code: str | None
    price_version: int | None
    local_date: date
    authorised_at: datetime
    expires_at: datetime
    settled_at: datetime | None
    settled_by_id: int | None

    @property
    def remaining(self) -> Decimal:
        """What it still keeps; 0 once it is settled."""
        return self.amount - self.captured - self.released - self.expired
