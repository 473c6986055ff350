"""The event contract, version 1: one AI call that happened. `docs/event-v1.schema.json` is generated from this model."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, ValidationError, WithJsonSchema

from core.domain.money import PRICE_MAX, parse_decimal, quantize_price
from core.domain.rejection import Reason, Rejection, shown

TOKENS_MAX = 2**53 - 1
# No control character (C0, DEL, C1), no noncharacter; a lone surrogate never gets as far as a str of Rust.
_NONCHARACTERS = r"\u{FDD0}-\u{FDEF}" + "".join(rf"\u{{{plane:X}FFFE}}\u{{{plane:X}FFFF}}" for plane in range(1, 17)) + r"\u{FFFE}\u{FFFF}"
_TEXT = rf"^[^\p{{Cc}}{_NONCHARACTERS}]*$"
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d{1,6})\d*)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
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
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not an RFC 3339 time with offset, such as 2026-01-31T12:00:00.5+01:00")
    day, clock, fraction, offset = match.groups()
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0'):0<6}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is not a time of the calendar: {error}") from None


def _text(length_max: int, length_min: int = 0) -> StringConstraints:
    return StringConstraints(strict=True, min_length=length_min, max_length=length_max, pattern=_TEXT)


Id = Annotated[str, _text(64, 1)]
Label = Annotated[str, _text(128)]
Tokens = Annotated[int, Field(strict=True, ge=0, le=TOKENS_MAX)]
Price = Annotated[
    Decimal,
    PlainValidator(parse_price),
    WithJsonSchema(
        {
            "description": f"Price of the call in CHF, 0 to {PRICE_MAX}, quantised half-even to nine decimal places; a decimal string is preferred.",
            "anyOf": [
                {"type": "string", "pattern": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,6})?$"},
                {"type": "number", "minimum": 0, "maximum": int(PRICE_MAX)},
            ],
        }
    ),
]
Moment = Annotated[datetime, PlainValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]


class TokenCounts(BaseModel):
    """How many tokens the call used, by kind; what is absent is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cached_input_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None


NO_TOKENS = TokenCounts()


def _counts(value: object) -> object:
    return NO_TOKENS if value is None else value


class UsageEvent(BaseModel):
    """One AI call that happened: who, when, which model, what it cost. Immutable; `null` means the same as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Annotated[str, _text(128, 1)] = Field(description="Made and kept by the originator; unique per mandate for ever.")
    mandate_id: Id = Field(description="The billed customer organisation.")
    user_id: Id = Field(description="Who made the call.")
    price_chf: Price
    occurred_at: Moment = Field(description="When it happened: RFC 3339 with offset, truncated to microseconds.")
    provider: Label | None = None
    model: Label | None = None
    feature_code: Label | None = None
    feature_instance_id: Label | None = None
    workflow_id: Label | None = None
    description: Annotated[str, _text(500)] | None = None
    usage: Annotated[TokenCounts, BeforeValidator(_counts, json_schema_input_type=TokenCounts | None)] = NO_TOKENS
    schema_version: Annotated[int, Field(strict=True, ge=1, le=1)] | None = None

    @classmethod
    def from_fields(cls, fields: dict[str, object]) -> Self:
        """The event that `fields` (canonical names, decoded JSON values) describe.

        Raises:
            Rejection: `missing_field`, `unknown_field` or `invalid_field`, naming every wrong field and its value.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
        reason = _REASONS.get(problems[0]["type"], Reason.INVALID_FIELD)
        raise Rejection(reason, "; ".join(_problem(".".join(map(str, p["loc"])), p["type"], p["msg"], p["input"]) for p in problems[:5]))


_REASONS = {"missing": Reason.MISSING_FIELD, "extra_forbidden": Reason.UNKNOWN_FIELD}


def _problem(field: str, kind: str, message: str, value: object) -> str:
    if kind == "missing":
        return f"{field} is missing"
    if kind == "extra_forbidden":
        return f"{shown(field)} is not a field of the contract"
    if kind == "string_pattern_mismatch":
        message = "has a control character or a noncharacter"
    return f"{field} {message.removeprefix('Value error, ')} (got {shown(value)})"
