"""What an operator asks for while usage comes: movements, settings, holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.caps.set_cap import NewCap, set_cap
from core.holds.answer import HoldAnswer
from core.holds.authorise import authorise
from core.holds.question import HoldName, HoldQuestion
from core.holds.release import release_hold
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.refund import Refund, refund
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.movements.update_settings import update_settings
from lab.interleaved.work import NOW, TTL, Hands, Names, Part, Work, request
from lab.oracle.caps import Cap
from lab.oracle.hold import Question
from lab.oracle.holds import HeldBooks

_ACCOUNT = text("SELECT id FROM accounts WHERE mandate_id = :m AND coalesce(user_id, '') = :u")
_DEBIT = text("SELECT min(id) FROM transactions WHERE mandate_id = :m AND event_id = :e AND transaction_type = 'DEBIT'")
_COLUMNS = {"model": "billing_model", "credit": "default_user_credit", "percent": "warning_threshold_percent", "zone": "time_zone"}


@dataclass(frozen=True)
class Switch(Work):
    """Another billing model."""

    mandate: str
    model: str

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        asked = ModelSwitch.read(request(hands, self.mandate, billing_model=BillingModel(self.model)))
        return switch_billing_model(hands.database, ROOT, asked).migrated_amount

    def parts(self) -> Iterator[Part]:
        """See `Work`."""
        yield Part(lambda books, names: books.switch(names[self.mandate], self.model))


@dataclass(frozen=True)
class Pay(Work):
    """A top-up of an account that is there; of the pool where no user is named."""

    mandate: str
    holder: str
    amount: Decimal

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        account_id = hands.looked_up(_ACCOUNT, m=hands.names[self.mandate], u=self.holder)
        top_up(hands.database, ROOT, TopUp.read(request(hands, self.mandate, account_id=account_id, amount=self.amount)))
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`."""

        def pay(books: HeldBooks, names: Names) -> None:
            books.move(names[self.mandate], self.holder, "CREDIT PAYMENT", self.amount)

        yield Part(pay)


@dataclass(frozen=True)
class GiveBack(Work):
    """A refund of the debit that an event became at first."""

    mandate: str
    event_id: str
    amount: Decimal

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        debit = hands.looked_up(_DEBIT, m=hands.names[self.mandate], e=self.event_id)
        return refund(hands.database, ROOT, Refund.read(request(hands, self.mandate, transaction_id=debit, amount=self.amount))).refundable

    def parts(self) -> Iterator[Part]:
        """See `Work`."""

        def give_back(books: HeldBooks, names: Names) -> Decimal:
            ledger = books.present(names[self.mandate]).ledger
            entry = next(entry for entry in ledger if entry.is_debit and entry.event is not None and entry.event.event_id == self.event_id)
            books.refund(names[self.mandate], entry, self.amount)
            return entry.amount - entry.refunded

        yield Part(give_back)


@dataclass(frozen=True)
class Amend(Work):
    """Another price for an event."""

    mandate: str
    event_id: str
    price: Decimal

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        price = NewPrice.read({"mandate_id": hands.names[self.mandate], "event_id": self.event_id, "price_chf": str(self.price)})
        amend_prices(hands.database, ROOT, [price], key=hands.key, by="lab", worker=f"{hands.worker}'s")
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`."""
        yield Part(lambda books, names: books.amend(names[self.mandate], self.event_id, self.price))


@dataclass(frozen=True)
class Change(Work):
    """New settings: of the model (before anything is booked), the credit, the warning percentage and the time zone, those that aren't None."""

    mandate: str
    model: str | None = None
    credit: Decimal | None = None
    percent: Decimal | None = None
    zone: str | None = None

    @property
    def _changes(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in (("model", self.model), ("credit", self.credit), ("percent", self.percent), ("zone", self.zone))
            if value is not None
        }

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        changes = {_COLUMNS[name]: value for name, value in self._changes.items()}
        update_settings(hands.database, ROOT, hands.names[self.mandate], changes, changed_by="lab", config=hands.config)
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`."""
        yield Part(lambda books, names: books.change(names[self.mandate], **self._changes))


@dataclass(frozen=True)
class Authorise(Work):
    """An amount is kept for a call."""

    mandate: str
    key: str
    user: str
    amount: Decimal

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        asked = {"mandate_id": hands.names[self.mandate], "key": self.key, "user_id": self.user, "amount": self.amount, "ttl_seconds": TTL.seconds}
        question = HoldQuestion.read(asked)
        answer: HoldAnswer = authorise(hands.database, ROOT, question, config=hands.config, known_accounts=hands.known, clock=NOW)
        return answer.allowed, answer.reason and str(answer.reason), answer.state and str(answer.state)

    def parts(self) -> Iterator[Part]:
        """See `Work`."""

        def keep(books: HeldBooks, names: Names) -> object:
            answer = books.authorise(Question(names[self.mandate], self.key, self.user, self.amount), TTL)
            return answer.allowed, answer.reason, answer.state

        yield Part(keep)


@dataclass(frozen=True)
class Forgo(Work):
    """A hold is released."""

    mandate: str
    key: str

    def ask(self, hands: Hands) -> object:
        """See `Work`. Asked again, it was settled before, be it by this one."""
        release_hold(hands.database, ROOT, HoldName.read({"mandate_id": hands.names[self.mandate], "key": self.key}), clock=NOW)
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`."""

        def forgo(books: HeldBooks, names: Names) -> None:
            books.release(names[self.mandate], self.key)

        yield Part(forgo)


@dataclass(frozen=True)
class SetCap(Work):
    """A cap on what all together use in a month; it refuses, or tells of the half and the whole."""

    mandate: str
    limit: Decimal
    refuses: bool

    @property
    def _shares(self) -> tuple[int, ...]:
        return () if self.refuses else (50, 100)

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        fields = {"mandate_id": hands.names[self.mandate], "by": "lab", "scope": "ALL", "period": "MONTH", "limit_chf": self.limit}
        action = "REFUSE" if self.refuses else "ALERT"
        set_cap(hands.database, ROOT, NewCap.read({**fields, "action": action, "shares": list(self._shares)}), clock=NOW)
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`."""

        def put(books: HeldBooks, names: Names) -> None:
            books.set_cap(Cap(names[self.mandate], "ALL", "", "", "", "MONTH", self.limit, self.refuses, self._shares, NOW.date()))

        yield Part(put)
