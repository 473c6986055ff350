"""The event contract, version 1. `docs/event-v1.schema.json` is generated from this model, which reads every spelling and names what is wrong."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, ValidationError, WithJsonSchema

from core.events.model import (
    DESCRIPTION_LENGTH_MAX,
    EVENT_ID_LENGTH_MAX,
    ID_LENGTH_MAX,
    LABEL_LENGTH_MAX,
    SOURCE_LENGTH_MAX,
    TOKENS_MAX,
    TokenUsage,
    UsageEvent,
    parse_price,
    parse_time,
)
from core.money import PRICE_MAX
from core.printable import shown
from core.problems import PLAIN_TEXT, Problem, problems_in
from core.rejection import Reason, Rejection


def _text(length_max: int, length_min: int = 0) -> StringConstraints:
    return StringConstraints(strict=True, min_length=length_min, max_length=length_max, pattern=PLAIN_TEXT)


Id = Annotated[str, _text(ID_LENGTH_MAX, 1)]
EventId = Annotated[str, _text(EVENT_ID_LENGTH_MAX, 1)]
# Books may know a CloudEvent by its source, a blank and its id.
RecordedEventId = Annotated[str, _text(SOURCE_LENGTH_MAX + 1 + EVENT_ID_LENGTH_MAX, 1)]
Label = Annotated[str, _text(LABEL_LENGTH_MAX)]
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
    """How many tokens the call used, by kind, as the producer counted; what is absent is not known.

    Providers count differently: cached or reasoning tokens may be among the input or output tokens, or beside them. So the kinds
    can't be added up, and nothing is priced by them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cached_input_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None


_NO_COUNTS = TokenCounts()

# What else a producer may call a field.
ALIASES = {
    "eventId": "event_id",
    "mandateId": "mandate_id",
    "userId": "user_id",
    "priceCHF": "price_chf",
    "occurredAt": "occurred_at",
    "aicoreProvider": "provider",
    "aicoreModel": "model",
    "featureCode": "feature_code",
    "featureInstanceId": "feature_instance_id",
    "workflowId": "workflow_id",
}


def _counts(value: object) -> object:
    return _NO_COUNTS if value is None else value


class EventContract(BaseModel):
    """One AI call that happened: who, when, which model, what it cost. Immutable; `null` means the same as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: EventId = Field(description="Made and kept by the originator; unique per mandate for ever.")
    mandate_id: Id = Field(description="The billed customer organisation.")
    user_id: Id = Field(description="Who made the call.")
    price_chf: Price
    occurred_at: Moment = Field(description="When it happened: RFC 3339 with offset, truncated to microseconds.")
    provider: Label | None = None
    model: Label | None = None
    feature_code: Label | None = None
    feature_instance_id: Label | None = None
    workflow_id: Label | None = None
    description: Annotated[str, _text(DESCRIPTION_LENGTH_MAX)] | None = None
    usage: Annotated[TokenCounts, BeforeValidator(_counts, json_schema_input_type=TokenCounts | None)] = _NO_COUNTS
    schema_version: Annotated[int, Field(strict=True, ge=1, le=1)] | None = None

    @classmethod
    def read(cls, fields: dict[str, object], names: Mapping[str, str] | None = None) -> UsageEvent:
        """The event that `fields` (canonical names, decoded JSON values) describe; `names` are what whoever gave them calls some of them.

        Raises:
            Rejection: `missing_field`, `unknown_field` or `invalid_field`, naming every wrong field and its value.
        """
        try:
            checked = cls.model_validate({name: value for name, value in fields.items() if value is not None or name not in cls.model_fields})
        except ValidationError as error:
            problems = problems_in(error)
        else:
            return UsageEvent(**{**dict(checked), "usage": TokenUsage(**dict(checked.usage))})
        told = [_told(problem, (names or {}).get(problem.field, problem.field)) for problem in problems[:5]]
        if any(problem.kind == "extra_forbidden" and problem.field.startswith("usage.") for problem in problems):
            told.append(_COUNTS_WANTED)
        raise Rejection(_REASONS.get(problems[0].kind, Reason.INVALID_FIELD), "; ".join(told))


# What an SDK calls its counts is its own business, and their parts overlap differently: so nothing is guessed.
_COUNTS_WANTED = f"usage takes {', '.join(TokenCounts.model_fields)}: docs/producers.md, Token counts, says how an SDK's object is turned into these"
_REASONS = {"missing": Reason.MISSING_FIELD, "extra_forbidden": Reason.UNKNOWN_FIELD}


def _told(problem: Problem, name: str) -> str:
    if problem.kind == "missing":
        return f"{name} is missing"
    if problem.kind == "extra_forbidden":
        return f"{shown(name)} is not a field of the contract"
    return f"{name} {problem.reason} (got {shown(problem.value)})"
