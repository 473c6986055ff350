"""A usage event: one AI call that happened, as the recorder sees it. What a producer may send is in `core/events/contract.py`."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from core.events.usage_object import RawUsage
from core.money import PRICE_MAX, parse_decimal, quantize_price

SOURCE_LENGTH_MAX = 256  # characters, of a CloudEvent's source
EVENT_ID_LENGTH_MAX = 128  # characters
ID_LENGTH_MAX = 128  # characters, of a mandate's or a user's id: a role session's ARN fits
LABEL_LENGTH_MAX = 128
DESCRIPTION_LENGTH_MAX = 500
TOKENS_MAX = 2**53 - 1
ATTEMPT_MAX = 2**15 - 1
COST_PLACES_MAX = 18  # of what a gateway says that the call cost
T = TypeVar("T")
_is_rfc3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
).fullmatch
_from_iso = datetime.fromisoformat


class Processing(StrEnum):
    """How a call was processed."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class CallOutcome(StrEnum):
    """What became of a call."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    TIMED_OUT = "timed_out"


class UsageBasis(StrEnum):
    """What the usage of a call is known by."""

    REPORTED = "reported"
    PARTIAL = "partial"
    ESTIMATED = "estimated"
    NONE = "none"  # what it cost is not known, which is another thing than nothing


def parse_price(value: object) -> Decimal:
    """A price in CHF from a decimal string or a JSON number, quantised once to nine places.

    Raises:
        ValueError: it is anything else, NaN, infinite, negative or above 1 000 000.
    """
    return quantize_price(_decimal(value))


def parse_cost(value: object) -> Decimal:
    """A cost in any currency from a decimal string or a JSON number, exact.

    Raises:
        ValueError: it is anything else, NaN, infinite, negative, above 1 000 000, or has more than 18 decimal places.
    """
    cost = _decimal(value)
    if not cost.is_finite() or not 0 <= cost <= PRICE_MAX:
        raise ValueError(f"is not between 0 and {PRICE_MAX}")
    if cost and cost != round(cost, COST_PLACES_MAX):
        raise ValueError(f"has more than {COST_PLACES_MAX} decimal places")
    return cost


def _decimal(value: object) -> Decimal:
    if isinstance(value, str):
        value = parse_decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("is not a decimal number")  # noqa: TRY004 - pydantic collects ValueError
    return Decimal(value)


def parse_time(value: object) -> datetime:
    """An RFC 3339 time with offset, as UTC, truncated to microseconds.

    Raises:
        ValueError: it is anything else, for example without an offset, with second 60 or hour 24, or outside years 1 to 9999.
    """
    if not isinstance(value, str) or _is_rfc3339(value) is None:
        raise ValueError("is not an RFC 3339 time with offset, such as 2026-01-31T12:00:00.5+01:00")
    try:
        moment = _from_iso(value.upper())
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not a time of the calendar: {error}") from None


EventId = Annotated[str, Meta(min_length=1, max_length=EVENT_ID_LENGTH_MAX)]
Id = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
Label = Annotated[str, Meta(max_length=LABEL_LENGTH_MAX)]
Name = Annotated[str, Meta(min_length=1, max_length=LABEL_LENGTH_MAX)]
Description = Annotated[str, Meta(max_length=DESCRIPTION_LENGTH_MAX)]
Count = Annotated[int, Meta(ge=0, le=TOKENS_MAX)]


class TokenUsage(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """How many tokens the call used, by kind; None is not known.

    This is the list of the kinds: tables, statements, statistics and exports have a column for each, in this order. A new kind comes last.
    """

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cached_input_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None


@dataclass(frozen=True)
class TokenColumns(Generic[T]):
    """The fields of `TokenUsage` as columns of a row that is shown: counts (`int | None`) of one call, or sums (`int`) of many.

    Without slots, so that it may stand beside another base: bases count from right to left, `class Row(TokenColumns[int], First)`
    has the fields of `First`, then the tokens, then its own.
    """

    input_tokens: T
    output_tokens: T
    cached_input_tokens: T
    cache_write_tokens: T
    reasoning_tokens: T


TOKEN_KINDS = TokenUsage.__struct_fields__
NO_TOKENS = TokenUsage()


class ReportedCost(msgspec.Struct, frozen=True, gc=False):
    """What a gateway says that the call cost; billed by nobody."""

    amount: Decimal  # not negative, at most 18 decimal places
    currency: str  # three capital letters, as ISO 4217 has them


class CallFacts(msgspec.Struct, frozen=True, gc=False):
    """What version 2 of the contract tells of the call, as the response said it; None is not told.

    This is the list of these fields, as `UsageEvent` is of the others: columns and statements are made from it. A new field comes last.
    """

    usage_dialect: str | None = None  # whose words the usage object is in, which the event then has as `raw_usage`
    service_tier: Name | None = None
    processing: str | None = None
    speed: Name | None = None
    region_scope: Name | None = None
    model_requested: Name | None = None
    provider_account: Name | None = None
    provider_request_id: Name | None = None
    operation_id: Name | None = None
    attempt: Annotated[int, Meta(ge=0, le=ATTEMPT_MAX)] | None = None
    outcome: str | None = None
    usage_basis: str | None = None
    reported_cost: ReportedCost | None = None
    hold_key: Name | None = None
    hold_final: bool | None = None
    producer_id: Name | None = None  # of one life of one process
    producer_seq: Annotated[int, Meta(ge=1, le=TOKENS_MAX)] | None = None  # 1, 2, 3 in it


CALL_FIELDS = CallFacts.__struct_fields__


class UsageEvent(msgspec.Struct, frozen=True, gc=False):
    """Who, when, which model, what it cost: `price_chf` in CHF with nine decimal places, None if it was not given; `occurred_at` in UTC.

    This is the list of the fields. The quick reading, the columns and the statements are made from it; what the slow reading says of a
    field stands in `core/events/contract.py`, what is hashed in `core/events/payload.py`. The optional texts stand together.
    """

    event_id: EventId
    mandate_id: Id
    user_id: Id
    price_chf: Decimal | None
    occurred_at: datetime
    provider: Label | None = None
    model: Label | None = None
    feature_code: Label | None = None
    feature_instance_id: Label | None = None
    workflow_id: Label | None = None
    description: Description | None = None
    usage: TokenUsage = NO_TOKENS
    schema_version: int | None = None
    source: str | None = None  # of a CloudEvent; empty where it names none that can be part of a key. Not billed
    call: CallFacts | None = None  # None: it tells no more than version 1 of the contract has
    raw_usage: RawUsage | None = None  # the provider's object as it came, where a dialect is named

    @property
    def version(self) -> int:
        """The version of the contract that it needs."""
        return 1 if self.call is None and self.price_chf is not None else 2


EVENT_FIELDS = UsageEvent.__struct_fields__[: UsageEvent.__struct_fields__.index("call")]  # beside those of the call
EVENT_TEXTS = EVENT_FIELDS[EVENT_FIELDS.index("occurred_at") + 1 : EVENT_FIELDS.index("usage")]  # the optional ones
