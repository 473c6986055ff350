"""The quick way for what most producers send: canonical names, plain ASCII, nothing given twice.

It reads an event only where it is certain that the whole contract agrees (`core/domain/contract.py`); of everything else
it says nothing, and the slow way decides and tells what is wrong. A property test holds the two together.
"""

import re
from decimal import Decimal
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core.domain.money import QUANTUM, quantize_price
from core.domain.usage_event import ID_LENGTH_MAX, NO_TOKENS, TOKENS_MAX, TokenUsage, UsageEvent, parse_time

_Id = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
_Label = Annotated[str, Meta(max_length=128)] | None | UnsetType
_Tokens = Annotated[int, Meta(ge=0, le=TOKENS_MAX)] | None | UnsetType


class _Usage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    input_tokens: _Tokens = UNSET
    output_tokens: _Tokens = UNSET
    cached_input_tokens: _Tokens = UNSET
    cache_write_tokens: _Tokens = UNSET
    reasoning_tokens: _Tokens = UNSET


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event_id: Annotated[str, Meta(min_length=1, max_length=128)]
    mandate_id: _Id
    user_id: _Id
    price_chf: Any
    occurred_at: str
    provider: _Label = UNSET
    model: _Label = UNSET
    feature_code: _Label = UNSET
    feature_instance_id: _Label = UNSET
    workflow_id: _Label = UNSET
    description: Annotated[str, Meta(max_length=500)] | UnsetType | None = UNSET
    usage: _Usage | UnsetType | None = UNSET
    schema_version: Literal[1] | UnsetType | None = UNSET


_DECODER = msgspec.json.Decoder(_Event, float_hook=Decimal)
_texts_of = attrgetter("provider", "model", "feature_code", "feature_instance_id", "workflow_id", "description")
_counts_of = attrgetter("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
_PRICE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?", re.ASCII)


def read_canonical(body: bytes) -> UsageEvent | None:
    """The event that `body` holds, or None where only the slow way can tell; never raises."""
    if b"\\" in body or b"\x7f" in body or not body.isascii():  # so that no text in it can hold a character that is forbidden
        return None
    try:
        event = _DECODER.decode(body)
        price, occurred_at = _price(event.price_chf), parse_time(event.occurred_at)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if price is None:
        return None
    marks = 20 if type(event.price_chf) is str else 18  # quotation marks; where there are more, a key was given twice
    texts: list[Any] = []
    for text in _texts_of(event):
        if text is UNSET:
            texts.append(None)
        else:
            marks += 2 if text is None else 4
            texts.append(text)
    usage = NO_TOKENS
    if event.usage is not UNSET:
        marks += 2
        if event.usage is not None:
            counts = _counts_of(event.usage)
            marks += 2 * (5 - counts.count(UNSET))
            usage = TokenUsage(*[None if count is UNSET else count for count in counts])
    version = event.schema_version
    if version is UNSET:
        version = None
    else:
        marks += 2
    if marks != body.count(b'"'):
        return None
    # six texts: from provider to description
    return UsageEvent(event.event_id, event.mandate_id, event.user_id, price, occurred_at, *texts, usage, version)  # type: ignore[call-arg]


def _price(value: object) -> Decimal | None:
    if type(value) is str and _PRICE.fullmatch(value):
        return Decimal(value).quantize(QUANTUM)  # at most fifteen digits: exact
    if type(value) is Decimal or type(value) is int:
        return quantize_price(Decimal(value))
    return None
