"""From the bytes of one event to a `UsageEvent`: canonical JSON, aliases, CloudEvents 1.0, kombu's typed values."""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from core.events.canonical import read_canonical
from core.events.contract import ALIASES, EventContractV2
from core.events.model import EVENT_ID_LENGTH_MAX, ID_LENGTH_MAX, SOURCE_LENGTH_MAX, TOKENS_MAX, UsageEvent, parse_price, parse_time
from core.json_exact import decode_json
from core.printable import shown
from core.rejection import Reason, Rejection

EVENT_BYTES_MAX = 64 * 1024

_FIELDS = frozenset(EventContractV2.model_fields)
_CLOUD_FIELDS = {"id": "event_id", "time": "occurred_at"}
_CLOUD_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,6})?", re.ASCII)  # as Python writes a Decimal
_BELOW_MICROSECOND = re.compile(r"\.\d{6}(\d+)", re.ASCII)
_NORMALISERS: dict[str, Callable[[object], object]] = {"price_chf": parse_price, "occurred_at": parse_time}


class RawEvent(msgspec.Struct, frozen=True):
    """The bytes of one event as they came, and where they came from."""

    body: bytes
    origin: str
    typed_json: bool = False  # it travelled in a Celery message, where kombu's typed JSON is accepted
    defect: Rejection | None = None  # already known to be no event at all
    told_on: str | None = None  # the queue on which its producer wants to be told if it isn't recorded


def parse_event(raw: RawEvent) -> UsageEvent:
    """The event in `raw`, checked against the whole contract but for its age.

    Raises:
        Rejection: it can't be recorded; the detail names the field and the value.
    """
    if raw.defect is not None:
        raise raw.defect
    if len(raw.body) > EVENT_BYTES_MAX:
        raise Rejection(Reason.EVENT_TOO_LARGE, f"{len(raw.body)} bytes; at most {EVENT_BYTES_MAX} are accepted")
    return read_canonical(raw.body) or read_any(raw)


def read_any(raw: RawEvent) -> UsageEvent:
    """The event in `raw`, in any spelling that the contract allows: what `parse_event` does where the quick way can't tell.

    Raises:
        Rejection: as `parse_event`.
    """
    fields, source = _fields_of(raw)
    if unknown := [name for name in fields if name not in _FIELDS]:
        raise _about(fields, Rejection(Reason.UNKNOWN_FIELD, f"{', '.join(map(shown, unknown[:5]))} is not a field of the contract"))
    try:
        event = EventContractV2.read(fields)
    except Rejection as rejection:
        raise _about(fields, rejection) from None
    return event if source is None else msgspec.structs.replace(event, source=source)


def digits_below_microsecond(raw: RawEvent) -> str:
    """The digits of `occurred_at` that the event in `raw`, a valid one, has after the sixth decimal: what `parse_event` leaves out.

    None where they are only zeros.
    """
    found = _BELOW_MICROSECOND.search(str(_fields_of(raw)[0]["occurred_at"]))
    return found[1].rstrip("0") if found else ""


def _fields_of(raw: RawEvent) -> tuple[dict[str, object], str | None]:
    """What `raw` holds, decoded, under canonical names as far as these are known; and the source, if it is a CloudEvent."""
    fields = decode_json(raw.body)
    if raw.typed_json and b"__type__" in raw.body:
        fields = _plain_values(fields)
    if not isinstance(fields, dict):
        raise Rejection(Reason.MALFORMED_JSON, f"an event is a JSON object (got {shown(fields)})")
    if fields.keys() <= _FIELDS:
        return fields, None
    return _merged(_canonical(fields)), _source(fields) if "specversion" in fields else None


def _source(fields: Mapping[str, object]) -> str:
    """What a CloudEvent names as its source, where that can be part of a key; empty where not. A URI reference has no space in it."""
    source = fields.get("source")
    usable = isinstance(source, str) and len(source) <= SOURCE_LENGTH_MAX and source.isprintable() and " " not in source
    return str(source) if usable else ""


def _about(fields: Mapping[str, object], rejection: Rejection) -> Rejection:
    """The rejection, with the ids and the producer's number that could be read."""
    rejection.mandate_id, rejection.event_id = _id(fields.get("mandate_id"), ID_LENGTH_MAX), _id(fields.get("event_id"), EVENT_ID_LENGTH_MAX)
    producer_id, number = _id(fields.get("producer_id"), ID_LENGTH_MAX), fields.get("producer_seq")
    if producer_id is not None and type(number) is int and 1 <= number <= TOKENS_MAX:
        rejection.numbered = producer_id, number
    return rejection


def _id(value: object, length_max: int) -> str | None:
    return value if isinstance(value, str) and value.isprintable() and 1 <= len(value) <= length_max else None


def _canonical(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each (canonical name, value), out of a CloudEvents envelope where there is one; a name may come twice."""
    if "specversion" not in fields:
        yield from _unaliased(fields)
        return
    if fields["specversion"] != "1.0":
        raise Rejection(Reason.INVALID_FIELD, f"specversion is not 1.0 (got {shown(fields['specversion'])})")
    data = fields.get("data")
    if not isinstance(data, dict):
        raise Rejection(Reason.INVALID_FIELD, f"data of a CloudEvent is a JSON object (got {shown(data)})")
    for name, value in fields.items():
        if name in _CLOUD_FIELDS:
            yield _CLOUD_FIELDS[name], value
        elif _CLOUD_ATTRIBUTE.fullmatch(name) is None:
            raise Rejection(Reason.UNKNOWN_FIELD, f"{shown(name)} is not a CloudEvents attribute")
    yield from _unaliased(data)


def _unaliased(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        yield ALIASES.get(name, name), value


def _merged(pairs: Iterator[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in pairs:
        if fields.get(name) is not None and value is not None and not _equal(name, fields[name], value):
            raise Rejection(Reason.CONTRADICTION, f"{shown(name)} is given twice, as {shown(fields[name])} and as {shown(value)}")
        if fields.get(name) is None:  # null means the same as absent
            fields[name] = value
    return fields


def _equal(name: str, one: object, other: object) -> bool:
    if type(one) is type(other) and one == other:
        return True
    if name not in _NORMALISERS:
        return False
    try:
        return _NORMALISERS[name](one) == _NORMALISERS[name](other)
    except ValueError:
        return False


def _plain_values(value: object, *, counted: bool = False) -> object:
    """Kombu's `{"__type__": …, "__value__": …}` for decimal, datetime and uuid, replaced by the plain JSON value.

    In what is `counted`, a usage object, a decimal is the number that its provider sent; anywhere else it is text.
    """
    if isinstance(value, list):
        return [_plain_values(item, counted=counted) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {"__type__", "__value__"}:
        return {name: _plain_values(item, counted=counted or name == "usage") for name, item in value.items()}
    kind, plain = value["__type__"], value["__value__"]
    if kind == "decimal" and counted and isinstance(plain, str) and _NUMBER.fullmatch(plain):
        return Decimal(plain)
    if kind in ("decimal", "datetime") and isinstance(plain, str):
        return plain
    if kind == "uuid" and isinstance(plain, dict) and isinstance(plain.get("hex"), str):
        try:
            return str(uuid.UUID(hex=plain["hex"]))
        except ValueError:
            pass
    raise Rejection(Reason.INVALID_FIELD, f"typed value of kind {shown(kind)} is not a decimal, datetime or uuid (got {shown(plain)})")
