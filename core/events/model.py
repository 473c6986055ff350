"""A usage event: one AI call that happened, as the recorder sees it. What a producer may send is in `core/events/contract.py`."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from core.money import parse_decimal, quantize_price

SOURCE_LENGTH_MAX = 256  # characters, of a CloudEvent's source
EVENT_ID_LENGTH_MAX = 128  # characters
ID_LENGTH_MAX = 128  # characters, of a mandate's or a user's id: a role session's ARN fits
LABEL_LENGTH_MAX = 128
DESCRIPTION_LENGTH_MAX = 500
TOKENS_MAX = 2**53 - 1
T = TypeVar("T")
_is_rfc3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
).fullmatch
_from_iso = datetime.fromisoformat


def parse_price(value: object) -> Decimal:
    """A price in CHF from a decimal string or a JSON number, quantised once to nine places.

    Raises:
        ValueError: it is anything else, NaN, infinite, negative or above 1 000 000.
    """
    if isinstance(value, str):
        value = parse_decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("is not a decimal number")  # noqa: TRY004 - pydantic collects ValueError
    return quantize_price(Decimal(value))


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


class UsageEvent(msgspec.Struct, frozen=True, gc=False):
    """Who, when, which model, what it cost: `price_chf` in CHF with nine decimal places, `occurred_at` in UTC.

    This is the list of the fields. The quick reading, the columns and the statements are made from it; what the slow reading says of a
    field stands in `core/events/contract.py`, what is hashed in `core/events/payload.py`. The optional texts stand together.
    """

    event_id: EventId
    mandate_id: Id
    user_id: Id
    price_chf: Decimal
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


EVENT_FIELDS = UsageEvent.__struct_fields__
EVENT_TEXTS = EVENT_FIELDS[EVENT_FIELDS.index("occurred_at") + 1 : EVENT_FIELDS.index("usage")]  # the optional ones
