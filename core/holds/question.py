"""What is asked of holds: to authorise one, to renew it, to release it."""

import json
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from core.asking.request import Amount, Key, Question
from core.dialects.model import DIMENSIONS, Leaf
from core.errors import RequestRefused
from core.events.contract import Id, Label, Name, Tokens
from core.events.model import Processing
from core.holds.model import TTL_DEFAULT, TTL_MAX

_TTL_SECONDS_MAX = int(TTL_MAX.total_seconds())
_NOT_CONTENT = {"mandate_id", "key", "ttl_seconds"}


def _in_ttl(value: int) -> int:
    if not 1 <= value <= _TTL_SECONDS_MAX:
        raise ValueError(f"is not 1 to {_TTL_SECONDS_MAX} seconds")
    return value


Ttl = Annotated[int, Field(strict=True), AfterValidator(_in_ttl)]  # in seconds
_TTL_SECONDS_DEFAULT = int(TTL_DEFAULT.total_seconds())


class HoldName(Question):
    """A hold of a mandate, by its key."""

    key: Key


class Renewal(HoldName):
    """A hold that is to end `ttl_seconds` from now, at the earliest."""

    ttl_seconds: Ttl = _TTL_SECONDS_DEFAULT


class HoldQuestion(HoldName):
    """May this user make a call, and so much be kept for it: `amount` (CHF, exact), or what `estimated_usage` of `model` costs now?

    `estimated_usage` counts leaves, as the dialect `canonical` does, and takes what its price depends on beside it. With an amount, `provider`
    and `model` may be named, and `feature_code` with either, so that caps on them are judged. Under one key one thing is asked.
    """

    user_id: Id
    amount: Amount | None = None
    estimated_usage: Annotated[dict[Leaf, Tokens], Field(min_length=1)] | None = None
    provider: Label | None = None
    model: Label | None = None
    feature_code: Label | None = None
    service_tier: Name | None = None
    processing: Literal[tuple(map(str, Processing))] | None = None  # type: ignore[valid-type]
    speed: Name | None = None
    region_scope: Name | None = None
    ttl_seconds: Ttl = _TTL_SECONDS_DEFAULT

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        """Refuses an amount beside an estimate, and neither.

        Raises:
            RequestRefused: with the field that is missing, or too much.
        """
        if (self.amount is None) == (self.estimated_usage is None):
            raise RequestRefused("either it or estimated_usage is named, and not both", field="amount", value=self.amount)
        if self.amount is None:
            needed = [name for name in ("provider", "model") if not getattr(self, name)]
            if needed:
                raise RequestRefused("is missing: estimated_usage is priced by it", field=needed[0])
        elif beside := [name for name in DIMENSIONS if getattr(self, name) is not None]:
            raise RequestRefused("goes with estimated_usage, not with an amount", field=beside[0], value=getattr(self, beside[0]))
        return self

    @property
    def content_hash(self) -> bytes:
        """SHA-256 (32 bytes) of what a repeated question must have in common with the first: all but the key and how long."""
        content: dict[str, Any] = self.model_dump(mode="json", exclude=_NOT_CONTENT, exclude_none=True)
        return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()
