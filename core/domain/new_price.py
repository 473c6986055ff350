"""The right price of a recorded event, as an operator says it."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from core.domain.contract import Id, Price, RecordedEventId
from core.domain.rejection import shown
from core.domain.request import without_null
from core.errors import RequestRefused


class NewPrice(BaseModel):
    """Which event, and what it is to cost in CHF: read, bounded and quantised as a producer's price is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mandate_id: Id
    event_id: RecordedEventId
    price_chf: Price

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> Self:
        """The price that `fields` describe.

        Raises:
            RequestRefused: names every wrong field and its value.
        """
        try:
            return cls.model_validate(without_null(cls, fields))
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
        raise RequestRefused("; ".join(_problem(str(p["loc"][0]), p["type"], p["msg"], p["input"]) for p in problems))


def _problem(field: str, kind: str, message: str, value: object) -> str:
    if kind == "missing":
        return f"{field}: is missing"
    if kind == "extra_forbidden":
        return f"{shown(field)}: is none of {', '.join(NewPrice.model_fields)}"
    if kind == "string_pattern_mismatch":
        message = "has a control character or a noncharacter"
    return f"{field}: {shown(value)} {message.removeprefix('Value error, ')}"
