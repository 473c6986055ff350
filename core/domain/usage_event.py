"""A usage event: one AI call that happened, as the recorder sees it. What a producer may send is in `core/domain/contract.py`."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from core.domain.money import parse_decimal, quantize_price

SOURCE_LENGTH_MAX = 256  # characters, of a CloudEvent's source
ID_LENGTH_MAX = 128  # characters, of a mandate's or a user's id: a role session's ARN fits
TOKENS_MAX = 2**53 - 1
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


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
    if not isinstance(value, str) or _RFC3339.fullmatch(value) is None:
        raise ValueError("is not an RFC 3339 time with offset, such as 2026-01-31T12:00:00.5+01:00")
    try:
        moment = datetime.fromisoformat(value.upper())
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not a time of the calendar: {error}") from None


class TokenUsage(msgspec.Struct, frozen=True, gc=False):
    """How many tokens the call used, by kind; None is not known."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


NO_TOKENS = TokenUsage()


class UsageEvent(msgspec.Struct, frozen=True, gc=False):
    """Who, when, which model, what it cost: `price_chf` in CHF with nine decimal places, `occurred_at` in UTC."""

    event_id: str
    mandate_id: str
    user_id: str
    price_chf: Decimal
    occurred_at: datetime
    provider: str | None = None
    model: str | None = None
    feature_code: str | None = None
    feature_instance_id: str | None = None
    workflow_id: str | None = None
    description: str | None = None
    usage: TokenUsage = NO_TOKENS
    schema_version: int | None = None
    source: str | None = None  # of a CloudEvent; empty where it names none that can be part of a key. Not billed
