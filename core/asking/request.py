"""What a caller asks for beside usage: fields checked before anything is written, each problem named with field and value."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Annotated, Any, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, ValidationError

from core.errors import RequestRefused
from core.events.contract import Id, Label
from core.events.model import parse_price, parse_time
from core.money import AMOUNT_MAX, QUANTUM, parse_decimal
from core.problems import refusal

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_amount(value: object) -> Decimal:
    """An amount in CHF, exact: more than nine decimal places are refused, never rounded.

    Raises:
        ValueError: it is no decimal number, or none that the books can hold.
    """
    _no_float(value)
    if isinstance(value, str):
        value = parse_decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("is not a decimal number")  # noqa: TRY004 - pydantic collects ValueError
    amount = Decimal(value)
    if not amount.is_finite() or abs(amount) > AMOUNT_MAX:
        raise ValueError(f"is not between -{AMOUNT_MAX} and {AMOUNT_MAX} CHF")
    if amount != (exact := amount.quantize(QUANTUM)):
        raise ValueError("has more than nine decimal places")
    return exact + 0  # -0 becomes 0


def parse_cost(value: object) -> Decimal:
    """An estimated cost in CHF, rounded half-even to nine places as the price of the call will be.

    Raises:
        ValueError: it is no decimal number, negative, or above what a call may cost.
    """
    _no_float(value)
    return parse_price(value)


def parse_day(value: object) -> date:
    """A calendar day such as 2026-01-31.

    Raises:
        ValueError: it is anything else, a moment too.
    """
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("is not a day such as 2026-01-31")


def parse_moment(value: object) -> datetime:
    """An RFC 3339 time with offset, as UTC.

    Raises:
        ValueError: it is anything else.
    """
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    return parse_time(value)


def parse_day_or_moment(value: object) -> date | datetime:
    """A day, or an RFC 3339 time with offset.

    Raises:
        ValueError: it is neither.
    """
    try:
        return parse_day(value)
    except ValueError:
        return parse_moment(value)


def _no_float(value: object) -> None:
    if isinstance(value, float):
        raise ValueError("is a float, which is not exact: send a decimal string")  # noqa: TRY004 - pydantic collects ValueError


def _above_zero(amount: Decimal) -> Decimal:
    if amount <= 0:
        raise ValueError("is not above 0")
    return amount


def _not_zero(amount: Decimal) -> Decimal:
    if amount == 0:
        raise ValueError("is 0, which moves nothing")
    return amount


def _not_negative(amount: Decimal) -> Decimal:
    if amount < 0:
        raise ValueError("is negative")
    return amount


AnyAmount = Annotated[Decimal, BeforeValidator(parse_amount)]
SignedAmount = Annotated[Decimal, BeforeValidator(parse_amount), AfterValidator(_not_zero)]
PositiveAmount = Annotated[Decimal, BeforeValidator(parse_amount), AfterValidator(_above_zero)]
Amount = Annotated[Decimal, BeforeValidator(parse_amount), AfterValidator(_not_negative)]  # 0 is one too
Cost = Annotated[Decimal, PlainValidator(parse_cost)]
Day = Annotated[date, PlainValidator(parse_day)]
Moment = Annotated[datetime, PlainValidator(parse_moment)]
DayOrMoment = Annotated[date | datetime, PlainValidator(parse_day_or_moment)]
RowId = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
Key = Annotated[Label, StringConstraints(min_length=1)]  # what a caller makes, so that asking twice does it once
By = Annotated[Label, StringConstraints(min_length=1)]  # who did it, as the books keep it
Reason = Annotated[Label, StringConstraints(min_length=1, max_length=500)]


class Asked(BaseModel):
    """What a caller asks; each kind is a subclass with its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Self:
        """What `fields` ask; null is the same as left out (`without_null`).

        Raises:
            RequestRefused: names every wrong field and its value.
        """
        try:
            return cls.model_validate(without_null(cls, fields))
        except ValidationError as error:
            raise cls.refusal(error) from None

    @classmethod
    def refusal(cls, error: ValidationError) -> RequestRefused:
        """The error that names every wrong field and its value."""
        return refusal(error, "is not a field of this request")


class Question(Asked):
    """Something asked about a mandate."""

    mandate_id: Id


class Request(Question):
    """Something asked for by somebody (`by`) under a key of their own, so that asking twice does it once; each kind is a subclass."""

    key: Key
    by: By

    def content(self) -> dict[str, Any]:
        """What a repeated request must have in common with the first, as JSON values: everything but the key and who asks."""
        return self.model_dump(mode="json", exclude={"mandate_id", "key", "by"})

    def earlier_contents(self) -> list[Mapping[str, Any]]:
        """What an earlier version made of the same request, where it was spelled differently."""
        return []


def without_null(kind: type[BaseModel], fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that say something: null is the same as left out, but in a required field that takes it, and in what is no field at all."""

    def says(name: str, value: object) -> bool:
        field = kind.model_fields.get(name)
        return value is not None or field is None or (field.is_required() and NoneType in get_args(field.annotation))

    return {name: value for name, value in fields.items() if says(name, value)}
