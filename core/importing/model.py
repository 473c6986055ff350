"""What a service that billed before had in its books: accounts with their opening balances, and entries that are history here."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from core.asking.request import Amount, AnyAmount, By, Reason, without_null
from core.billing import ReferenceType, TransactionType
from core.errors import RequestRefused
from core.events.contract import EventContract, Id, Label, Moment
from core.events.model import UsageEvent
from core.ledger.kinds import KINDS, USAGE
from core.printable import shown
from core.problems import refusal
from core.rejection import Rejection

HISTORY_PREFIX = "history:"  # before the id of an entry that is identified by nothing else


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_IMPORTABLE = frozenset(kind.reference_type for kind in KINDS.values() if kind.importable)


def _past(name: ReferenceType) -> ReferenceType:
    if name not in _IMPORTABLE:
        raise ValueError("refers to other entries of these books: give it as ADJUSTMENT")
    return name


EntryId = Annotated[Label, StringConstraints(min_length=1, max_length=128 - len(HISTORY_PREFIX)), BeforeValidator(_as_text)]


class OldAccount(BaseModel):
    """An account and what it holds when it is taken over, in CHF; without a user it is the mandate's pool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mandate_id: Id
    user_id: Id | None = None
    balance: AnyAmount
    credit_limit: Amount | None = None
    warning_threshold: Amount | None = None
    enabled: Annotated[bool, Field(strict=True)] | None = None

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> "OldAccount":
        """The account that `fields` describe.

        Raises:
            RequestRefused: names every wrong field and its value.
        """
        try:
            account = cls.model_validate(without_null(cls, fields))
        except ValidationError as error:
            raise refusal(error, "is not a field of an account") from None
        if account.credit_limit is not None and account.user_id is not None:
            raise RequestRefused(
                f"'{account.credit_limit}' is given for user {shown(account.user_id)}: only a pool has one",
                field="credit_limit",
                value=account.credit_limit,
            )
        return account

    @property
    def holder(self) -> tuple[str, str | None]:
        """Whose account it is: mandate id, and user id or none."""
        return self.mandate_id, self.user_id

    @property
    def key(self) -> str:
        """The key under which its balance is taken over once."""
        return f"opening:{self.mandate_id}" if self.user_id is None else f"opening:{self.mandate_id}:{self.user_id}"

    def content(self) -> dict[str, Any]:
        """What a repeated import must say as the first one did, as JSON values."""
        return self.model_dump(mode="json", exclude={"mandate_id", "user_id"}, exclude_none=True)


class PastEntry(BaseModel):
    """A ledger entry of the past that is no usage: `amount` in CHF, not negative for CREDIT and DEBIT, signed for ADJUSTMENT."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: EntryId
    mandate_id: Id
    user_id: Id | None = None
    transaction_type: TransactionType
    reference_type: Annotated[ReferenceType, AfterValidator(_past)]
    amount: AnyAmount
    occurred_at: Moment
    description: Reason = "Imported entry"
    created_by_user_id: By | None = None

    @property
    def holder(self) -> tuple[str, str | None]:
        """Whom it is about: mandate id, and user id or none for the pool."""
        return self.mandate_id, self.user_id

    @property
    def key(self) -> str:
        """The key under which it is taken over once."""
        return HISTORY_PREFIX + self.id

    @property
    def delta(self) -> Decimal:
        """What it added to a balance in its time, in CHF."""
        return -self.amount if self.transaction_type is TransactionType.DEBIT else self.amount

    def content(self) -> dict[str, Any]:
        """What a repeated import must say as the first one did, as JSON values."""
        texts = self.model_dump(mode="json", exclude={"id", "mandate_id", "occurred_at"}, exclude_none=True)
        return {**texts, "occurred_at": self.occurred_at.isoformat(timespec="microseconds")}


def read_entry(fields: Mapping[str, Any]) -> UsageEvent | PastEntry:
    """The entry that `fields` describe: usage (reference type WORKFLOW) as the event that it was, anything else as it stands.

    Usage without an event id gets one from its entry's id, in a space of its own.

    Raises:
        RequestRefused: names every wrong field and its value.
    """
    if fields.get("reference_type") == USAGE.reference_type:
        return _usage(fields)
    try:
        entry = PastEntry.model_validate(without_null(PastEntry, fields))
    except ValidationError as error:
        raise refusal(error, "is not a field of an entry that is no usage") from None
    if entry.amount < 0 and entry.transaction_type is not TransactionType.ADJUSTMENT:
        raise RequestRefused(f"'{entry.amount}' is negative, which only an ADJUSTMENT may be", field="amount", value=entry.amount)
    return entry


def _usage(fields: Mapping[str, Any]) -> UsageEvent:
    if fields.get("transaction_type") != USAGE.transaction_type:
        raise RequestRefused(
            f"{shown(fields.get('transaction_type'))} is not DEBIT, which usage (WORKFLOW) always is",
            field="transaction_type",
            value=fields.get("transaction_type"),
        )
    if fields.get("created_by_user_id") not in (None, fields.get("user_id")):
        raise RequestRefused(
            f"{shown(fields['created_by_user_id'])} is not the entry's user, who acts in usage",
            field="created_by_user_id",
            value=fields["created_by_user_id"],
        )
    if "price_chf" in fields:
        raise RequestRefused("is not a field of an entry; its price is the amount", field="price_chf")
    event = {name: value for name, value in fields.items() if name not in _NOT_OF_AN_EVENT}
    if "amount" in fields:
        event["price_chf"] = fields["amount"]
    if event.get("event_id") is None:
        event["event_id"] = HISTORY_PREFIX + _id(fields)
    try:
        return EventContract.read(event, {"price_chf": "amount"})
    except Rejection as rejection:
        raise RequestRefused(rejection.detail) from None


_NOT_OF_AN_EVENT = frozenset({"id", "transaction_type", "reference_type", "amount", "created_by_user_id"})


class _Named(BaseModel):
    id: EntryId


def _id(fields: Mapping[str, Any]) -> str:
    try:
        return _Named.model_validate({"id": fields["id"]} if fields.get("id") is not None else {}).id
    except ValidationError as error:
        raise refusal(error, "is not a field of an entry") from None
