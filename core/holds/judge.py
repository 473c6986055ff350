"""What is granted of several holds that are asked for at once, one after the other; nothing is read or written here."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from core.billing import BillingModel
from core.caps.judge import CapRefusal, Counters
from core.caps.model import Caps, Spending
from core.checks.model import HeldBalance, Refusal, Standing
from core.holds.question import HoldQuestion
from core.holds.sql.authorise import HoldKey, NewHold, Written
from core.money import ZERO
from core.prices.model import Unpriced
from core.settings.model import BillingSettings

_NO_ZONE = "UTC"  # of a mandate without settings, which has no caps that could ask for its local day


@dataclass(slots=True)
class Asked:
    """A question, what is known of whom it is about, and what comes of it; amounts in CHF.

    Attributes:
        question: what is asked.
        settings: the mandate's; None: it may have none.
        user, pool: the accounts of the user and of the mandate, where they are open.
        amount: what is to be held; None where an estimate has no price.
        unpriced: why it has none.
        price_version: by which an estimate is priced.
        written: the hold, where its key is new.
        reason: why it is refused.
        cap: the cap that refuses it.
    """

    question: HoldQuestion
    settings: BillingSettings | None
    user: int | None
    pool: int | None
    amount: Decimal | None
    unpriced: Unpriced | None = None
    price_version: int | None = None
    written: Written | None = None
    reason: Refusal | None = None
    cap: CapRefusal | None = None

    @property
    def key(self) -> HoldKey:
        """Mandate and key of the hold."""
        return self.question.mandate_id, self.question.key

    @property
    def model(self) -> BillingModel:
        """By which it is paid."""
        return BillingModel.UNLIMITED if self.settings is None else self.settings.billing_model

    @property
    def payer(self) -> int | None:
        """The account that pays for the user now; None: nobody does."""
        if self.model is BillingModel.UNLIMITED:
            return None
        return self.pool if self.model.pool_pays else self.user

    @property
    def time_zone(self) -> str:
        """The mandate's."""
        return _NO_ZONE if self.settings is None else self.settings.time_zone

    @property
    def spending(self) -> Spending:
        """What caps look at."""
        asked = self.question
        return Spending(asked.mandate_id, asked.user_id, asked.provider, asked.model, asked.feature_code)

    def new_hold(self) -> NewHold:
        """The hold as it is written before it is judged; the amount is known."""
        asked = self.question
        assert self.amount is not None
        about = asked.provider, asked.model, asked.feature_code, self.price_version, asked.ttl_seconds, self.time_zone
        return NewHold(asked.mandate_id, asked.key, asked.user_id, self.payer, self.amount, *about, asked.content_hash.hex())

    def standing(self, accounts: Mapping[int, HeldBalance]) -> Standing:
        """Where whom it is about stand; an account that isn't open is none."""
        blocks = self.settings is not None and self.settings.block_on_zero_balance
        user, pool = (None if one is None else accounts.get(one) for one in (self.user, self.pool))
        return Standing(self.model, blocks, user, pool)


def judge(
    new: Sequence[Asked],
    accounts: dict[int, HeldBalance],
    caps: Mapping[str, Caps],
    counters: Counters | None,
    is_free: Callable[[Spending], bool],
) -> dict[int, Decimal]:
    """Grants each that its payer's balance and the caps allow, counting those before it; tells the others why not.

    Args:
        new: in the order in which they are judged, each with an amount and a hold written.
        accounts: by id, as they stand; what is granted is held of them afterwards.
        caps: of the mandates that have any.
        counters: of these caps, which are told what is held; None where there are none.
        is_free: whether a model costs nothing, which no cap refuses.

    Returns:
        What is held more of accounts, in CHF.
    """
    held: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for one in new:
        assert one.amount is not None
        assert one.written is not None
        own, day = caps.get(one.question.mandate_id), one.written.local_date
        one.reason = one.standing(accounts).refusal(one.amount)
        if one.reason is None and counters is not None and own is not None:
            cap = counters.refusal(own, one.spending, day)
            if cap is not None and not is_free(one.spending):
                one.cap, one.reason = cap, Refusal.CAP_EXCEEDED
        if one.reason is not None:
            continue
        if one.payer is not None:
            held[one.payer] += one.amount
            accounts[one.payer] = replace(accounts[one.payer], held=accounts[one.payer].held + one.amount)
        if counters is not None and own is not None:
            counters.hold(own, one.spending, day, one.amount)
    return held
