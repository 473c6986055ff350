"""The event contract. `docs/event-v1.schema.json` and `docs/event-v2.schema.json` are generated from these models, which name what is wrong."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec.structs import replace
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, ValidationError, WithJsonSchema

from core.dialects.model import UsageDialect
from core.events.model import (
    ATTEMPT_MAX,
    CALL_FIELDS,
    COST_PLACES_MAX,
    DESCRIPTION_LENGTH_MAX,
    EVENT_ID_LENGTH_MAX,
    ID_LENGTH_MAX,
    LABEL_LENGTH_MAX,
    SOURCE_LENGTH_MAX,
    TOKENS_MAX,
    CallFacts,
    CallOutcome,
    Processing,
    ReportedCost,
    TokenUsage,
    UsageBasis,
    UsageEvent,
    parse_cost,
    parse_price,
    parse_time,
)
from core.events.usage_object import RawUsage, raw_usage
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
Name = Annotated[str, _text(LABEL_LENGTH_MAX, 1)]
Tokens = Annotated[int, Field(strict=True, ge=0, le=TOKENS_MAX)]


def _decimal_schema(description: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "description": description,
            "anyOf": [
                {"type": "string", "pattern": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,6})?$"},
                {"type": "number", "minimum": 0, "maximum": int(PRICE_MAX)},
            ],
        }
    )


Price = Annotated[
    Decimal,
    PlainValidator(parse_price),
    _decimal_schema(f"Price of the call in CHF, 0 to {PRICE_MAX}, quantised half-even to nine decimal places; a decimal string is preferred."),
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
    **{f"{first}{''.join(map(str.capitalize, rest))}": name for name in CALL_FIELDS for first, *rest in [name.split("_")] if rest},
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
        given = {name: value for name, value in fields.items() if value is not None or name not in cls.model_fields}
        raw, told = _raw_usage(given)
        try:
            checked = dict(cls.model_validate(given))
        except ValidationError as error:
            problems = problems_in(error)
        else:
            if not told:
                return cls._event(checked, raw)
            raise Rejection(Reason.INVALID_FIELD, told[0])
        told += [_told(problem, (names or {}).get(problem.field, problem.field)) for problem in problems[:5]]
        if any(problem.kind == "extra_forbidden" and problem.field.startswith("usage.") for problem in problems):
            told.append(_COUNTS_WANTED)
        raise Rejection(_REASONS.get(problems[0].kind, Reason.INVALID_FIELD), "; ".join(told))

    @classmethod
    def _event(cls, checked: dict[str, Any], _: RawUsage | None) -> UsageEvent:
        return UsageEvent(**{**checked, "usage": TokenUsage(**dict(checked["usage"]))})


class Reported(BaseModel):
    """What a gateway says that the call cost: stored, billed by nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: Annotated[Decimal, PlainValidator(parse_cost), _decimal_schema(f"0 to {PRICE_MAX}, at most {COST_PLACES_MAX} decimal places.")]
    currency: Annotated[str, StringConstraints(strict=True, pattern="^[A-Z]{3}$")] = Field(description="ISO 4217, such as USD.")


_USAGE = (
    "With `usage_dialect` the provider's usage object as it came, at most 8 KiB; without one token counts as the producer counted,"
    " which nothing is priced by."
)


class EventContractV2(EventContract):
    """One AI call that happened: who, when, which model, what the provider answered. Immutable; `null` means the same as absent.

    Version 2: all of version 1, a price that may be absent, and what the response said of the call.
    """

    price_chf: Price | None = None  # type: ignore[assignment]
    usage: Annotated[TokenCounts, BeforeValidator(_counts, json_schema_input_type=TokenCounts | dict[str, Any] | None), Field(description=_USAGE)] = (
        _NO_COUNTS
    )
    schema_version: Annotated[int, Field(strict=True, ge=1, le=2)] | None = None
    usage_dialect: Literal[tuple(map(str, UsageDialect))] | None = Field(None, description="Whose words `usage` is in.")  # type: ignore[valid-type]
    service_tier: Name | None = Field(None, description="As the response said it, not as it was asked for.")
    processing: Literal[tuple(map(str, Processing))] | None = None  # type: ignore[valid-type]
    speed: Name | None = None
    region_scope: Name | None = Field(None, description="Where it was processed, in the words of the price book.")
    model_requested: Name | None = Field(None, description="What was asked for, where the answer names another model.")
    provider_account: Name | None = Field(None, description="Project, workspace or key.")
    provider_request_id: Name | None = None
    operation_id: Name | None = None
    attempt: Annotated[int, Field(strict=True, ge=0, le=ATTEMPT_MAX)] | None = None
    outcome: Literal[tuple(map(str, CallOutcome))] | None = None  # type: ignore[valid-type]
    usage_basis: Literal[tuple(map(str, UsageBasis))] | None = Field(None, description="`none`: what it cost is not known.")  # type: ignore[valid-type]
    reported_cost: Reported | None = None
    hold_key: Name | None = None
    hold_final: Annotated[bool, Field(strict=True)] | None = Field(None, description="True where it is absent.")
    producer_id: Name | None = Field(None, description="One life of one process: a restart makes a new one.")
    producer_seq: Annotated[int, Field(strict=True, ge=1, le=TOKENS_MAX)] | None = Field(None, description="1, 2, 3 in this life.")

    @classmethod
    def _event(cls, checked: dict[str, Any], raw: RawUsage | None) -> UsageEvent:
        told = {name: checked.pop(name) for name in CALL_FIELDS}
        if (cost := told["reported_cost"]) is not None:
            told["reported_cost"] = ReportedCost(**dict(cost))
        event = super()._event(checked, None)
        call = CallFacts(**told) if any(value is not None for value in told.values()) else None
        return replace(event, call=call, raw_usage=raw)


def _raw_usage(given: dict[str, object]) -> tuple[RawUsage | None, list[str]]:
    """The usage object where a dialect is named, which `given` no longer has then, or what is wrong with it."""
    usage = given.get("usage")
    if given.get("usage_dialect") is None or not isinstance(usage, dict):
        return None, []
    del given["usage"]
    try:
        return raw_usage(usage), []
    except ValueError as error:
        return None, [f"usage {error}"]


# What an SDK calls its counts is its own business, and their parts overlap differently: so nothing is guessed.
_COUNTS_WANTED = f"usage takes {', '.join(TokenCounts.model_fields)}, or with usage_dialect the provider's object as it came (docs/producers.md)"
_REASONS = {"missing": Reason.MISSING_FIELD, "extra_forbidden": Reason.UNKNOWN_FIELD}


def _told(problem: Problem, name: str) -> str:
    if problem.kind == "missing":
        return f"{name} is missing"
    if problem.kind == "extra_forbidden":
        return f"{shown(name)} is not a field of the contract"
    return f"{name} {problem.reason} (got {shown(problem.value)})"
