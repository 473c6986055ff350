"""Valid bytes of every kind that the product reads, to be damaged."""

import base64
import json
from typing import Any

from amqp.basic_message import Message as AmqpMessage

from core.dialects.model import UsageDialect
from tests.dialects.objects import samples
from tests.sample_events import OCCURRED_AT

_WHEN = OCCURRED_AT.isoformat()
_CORE = {"event_id": "e-1", "mandate_id": "acme", "user_id": "ada", "price_chf": "0.25", "occurred_at": _WHEN}
_TOLD = {
    "provider": "openai",
    "model": "gpt-5",
    "feature_code": "chat",
    "feature_instance_id": "i",
    "workflow_id": "w",
    "description": "AI Usage é😀",
    "usage": {"input_tokens": 3, "output_tokens": None, "cached_input_tokens": 0, "cache_write_tokens": 2**53 - 1, "reasoning_tokens": 7},
}
_CALL = {
    "schema_version": 2,
    "service_tier": "default",
    "processing": "batch",
    "speed": "fast",
    "region_scope": "eu",
    "model_requested": "gpt",
    "provider_account": "project",
    "provider_request_id": "r",
    "operation_id": "o",
    "attempt": 1,
    "outcome": "completed",
    "usage_basis": "reported",
    "reported_cost": {"amount": "0.000000000000000001", "currency": "USD"},
    "hold_key": "h",
    "hold_final": True,
    "producer_id": "p",
    "producer_seq": 12,
}
_CAMEL = {
    "eventId": "e-2",
    "mandateId": "acme",
    "userId": "ada",
    "priceCHF": 0.1234567890123456789,
    "occurredAt": "2026-01-31t12:00:00.1234567+01:00",
    "aicoreProvider": "p",
    "aicoreModel": "m",
    "holdFinal": False,
    "reportedCost": {"amount": 1.5, "currency": "EUR"},
}
_TYPED = {
    **_CORE,
    "event_id": {"__type__": "uuid", "__value__": {"hex": "12345678123456781234567812345678"}},
    "price_chf": {"__type__": "decimal", "__value__": "3.4E-7"},
    "occurred_at": {"__type__": "datetime", "__value__": _WHEN},
    "usage_dialect": "canonical",
    "usage": {"input": {"__type__": "decimal", "__value__": "12"}},
}


def _json(value: Any, *, compact: bool = True, ascii_only: bool = False) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":") if compact else None, default=str).encode()


def _with_object(dialect: str, usage: dict[str, Any], call: dict[str, Any]) -> bytes:
    return _json({**{name: _CORE[name] for name in _CORE if name != "price_chf"}, **call, "usage_dialect": dialect, "usage": usage})


EVENTS = [
    _json(_CORE),
    _json({**_CORE, **_TOLD}),
    _json({**_CORE, **_TOLD, **_CALL}, compact=False),
    _json({**_CORE, **_TOLD, **_CALL}, ascii_only=True),
    _json({**_CORE, "price_chf": 999999.123456789, "provider": None, "usage": None}),
    _json({name: value for name, value in _CORE.items() if name != "price_chf"} | _CALL),
    _json(_CAMEL),
    _json({**_CAMEL, **_CORE, "eventId": "e-1", "priceCHF": 0.250, "occurredAt": _WHEN}),
    _with_object("openai.chat", {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, {"provider": "openai", "model": "gpt-5"}),
]
CLOUD_EVENTS = [
    _json({"specversion": "1.0", "type": "usage", "source": "/chat", "id": "e-1", "time": _WHEN, "data": {**_CORE, **_TOLD}}),
    _json({"specversion": "1.0", "source": "/a b", "id": "e-1", "time": _WHEN, "subject": "x", "n1": 5, "data": _CAMEL | {"eventId": "e-1"}}),
    _json({"specversion": "1.0", "id": "e-1", "data": {**_CORE, **_CALL}, "traceparent": "00-1"}, compact=False),
]
TYPED_EVENTS = [_json(_TYPED), _json({**_TYPED, "usage": {"a": [{"b": {"__type__": "decimal", "__value__": "-1.5e3"}}]}}), EVENTS[1]]


def of_dialect(dialect: UsageDialect) -> list[bytes]:
    """Events with the usage objects of a dialect that stand below tests/dialects/objects; one that has none there yet gets an empty one."""
    found = [
        _with_object(str(dialect), one.usage, {name: value for name, value in one.call._asdict().items() if value is not None})
        for one in samples()
        if one.dialect is dialect
    ]
    return found or [_with_object(str(dialect), {}, {})]


def _entry(body: bytes, *, task: str | None, base: bool = True, **envelope: Any) -> bytes:
    headers = {"lang": "py", "task": task, "id": "1", "retries": 0, "argsrepr": "()", "origin": "gen1@host"} if task else {}
    properties = {
        "correlation_id": "1",
        "reply_to": "tollbook.outcomes.me",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "q"},
    }
    whole = {
        "body": base64.b64encode(body).decode() if base else body.decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {**properties, "priority": 0, "delivery_tag": "t", "body_encoding": "base64" if base else "utf-8"},
        **envelope,
    }
    return _json(whole, compact=False)


_ONE, _MANY = b"[[%s], {}, {}]" % EVENTS[1], b'[[], {"events": [%s]}, {"callbacks": null}]' % b", ".join(EVENTS[:5])
_PROTOCOL_1 = b'{"task": "usage.record", "id": "1", "args": [], "kwargs": {"event": %s}, "eta": null}' % TYPED_EVENTS[0]
BODIES = [_ONE, _MANY, _PROTOCOL_1, b"[[%s], {}, {}]" % TYPED_EVENTS[0], b'[[[%s, 5, {"a": 1}]], {}, {}]' % CLOUD_EVENTS[0]]
ENTRIES = [
    _entry(_ONE, task="usage.record"),
    _entry(_ONE, task="usage.record", base=False),
    _entry(_MANY, task="usage.record_batch", base=False),
    _entry(BODIES[4], task="usage.record_batch", base=False),
    _entry(_PROTOCOL_1, task=None, base=False),
    _entry(_PROTOCOL_1, task=None),
    _entry(_ONE, task="usage.record", base=False, **{"content-type": "application/x-python-serialize"}),
    _entry(b"[[], {}, {}]", task="usage.record"),
]
REQUESTS = [
    _entry(b'[[], {"mandate_id": "acme", "user_id": "ada", "estimated_cost": 0.10}, {"chain": [{"task": "balance.check"}]}]', task="balance.check"),
    _entry(b'[[], {"mandate_id": "acme"}, {}]', task="settings.get", base=False),
    _entry(b'{"task": "balance.check", "id": "2", "args": [], "kwargs": {"mandate_id": "acme"}}', task=None, base=False),
    *ENTRIES[:3],
]
PLAIN = [b"[%s]" % b", ".join(EVENTS), b" \n[" + CLOUD_EVENTS[0] + b",5,null]", b"[]", EVENTS[0], CLOUD_EVENTS[1]]


def _properties(**properties: Any) -> bytes:
    message: Any = AmqpMessage("", **properties)
    encoded: bytes = message._serialize_properties()
    return encoded


_HEADERS = {"lang": "py", "task": "usage.record", "id": "1", "retries": 0, "timelimit": [None, None], "x-delivery-count": 3}
AMQP_PROPERTIES = [
    _properties(
        content_type="application/json", content_encoding="utf-8", application_headers=_HEADERS, delivery_mode=2, reply_to="tollbook.outcomes.a"
    ),
    _properties(content_type="application/json", content_encoding="utf-8", application_headers={**_HEADERS, "compression": "application/x-bz2"}),
    _properties(content_type="application/json", content_encoding="utf-8", application_headers={"nested": {"task": "usage.record"}, "task": "other"}),
    _properties(content_type="application/x-yaml", application_headers=_HEADERS, message_id="m", priority=3),
    _properties(),
]
