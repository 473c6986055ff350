"""The quick way for what most producers send: canonical names, plain ASCII, nothing given twice.

It reads an event only where it is certain that the whole contract agrees (`core/events/contract.py`); of everything else
it says nothing, and the slow way decides and tells what is wrong. A property test holds the two together.
"""

import re
from collections.abc import Collection
from decimal import Decimal
from operator import attrgetter
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from core.events.model import EVENT_TEXTS, NO_TOKENS, TOKEN_KINDS, TokenUsage, UsageEvent, parse_time
from core.money import QUANTUM, quantize_price

_AS_SENT: dict[str, Any] = {"price_chf": Any, "occurred_at": str, "schema_version": Literal[1] | None}


def _sent(kind: type[msgspec.Struct], as_sent: dict[str, Any], left_out: Collection[str] = ()) -> type[msgspec.Struct]:
    """A struct to decode what was sent for `kind`: the same fields within the same bounds, UNSET where an optional one wasn't given."""
    fields = [
        (f.name, as_sent.get(f.name, f.type)) if f.required else (f.name, as_sent.get(f.name, f.type) | UnsetType, UNSET)
        for f in msgspec.structs.fields(kind)
        if f.name not in left_out
    ]
    return msgspec.defstruct("_Sent", fields, forbid_unknown_fields=True, gc=False)


_Usage = _sent(TokenUsage, {})
_DECODER = msgspec.json.Decoder(_sent(UsageEvent, {**_AS_SENT, "usage": _Usage | None}, ("source",)), float_hook=Decimal)
_texts_of = attrgetter(*EVENT_TEXTS)
_counts_of = attrgetter(*TOKEN_KINDS)
_KINDS = len(TOKEN_KINDS)
_PRICE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?", re.ASCII)


def read_canonical(body: bytes) -> UsageEvent | None:
    """The event that `body` holds, or None where only the slow way can tell; never raises."""
    if b"\\" in body or b"\x7f" in body or not body.isascii():  # so that no text in it can hold a character that is forbidden
        return None
    try:
        event: Any = _DECODER.decode(body)
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
            marks += 2 * (_KINDS - counts.count(UNSET))
            usage = TokenUsage(*[None if count is UNSET else count for count in counts])
    version = event.schema_version
    if version is UNSET:
        version = None
    else:
        marks += 2
    if marks != body.count(b'"'):
        return None
    return UsageEvent(event.event_id, event.mandate_id, event.user_id, price, occurred_at, *texts, usage, version)  # type: ignore[call-arg]


def _price(value: object) -> Decimal | None:
    if type(value) is str and _PRICE.fullmatch(value):
        return Decimal(value).quantize(QUANTUM)  # at most fifteen digits: exact
    if type(value) is Decimal or type(value) is int:
        return quantize_price(Decimal(value))
    return None
