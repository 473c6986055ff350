"""The event contract as the clients have it: which fields there are and what each takes, out of the same declaration."""

import json
from typing import Any

from core.events.contract import ALIASES, EventContractV2, TokenCounts
from core.events.envelope import MESSAGE_BYTES_MAX
from core.events.message import EVENTS_PER_MESSAGE_MAX
from core.events.model import TOKENS_MAX
from core.events.parsing import EVENT_BYTES_MAX
from core.events.usage_object import USAGE_BYTES_MAX
from core.json_exact import DEPTH_MAX

_BY_NAME = {"price_chf": "price", "occurred_at": "time", "reported_cost": "cost", "usage": "usage"}


def node_contract() -> str:
    """The module `contract.generated.js` of the client for Node.js."""
    lines = [f"export const {name} = {json.dumps(value, indent=2)};" for name, value in _contract().items()]
    return "\n".join(["// Made of core/events/contract.py by `python -m lab.docs`.", *lines]) + "\n"


def python_contract() -> str:
    """The file `contract.json` of the client for Python."""
    return json.dumps(_contract(), indent=2) + "\n"


def _contract() -> dict[str, Any]:
    schema = EventContractV2.model_json_schema()
    return {
        "EVENT_BYTES_MAX": EVENT_BYTES_MAX,
        "EVENTS_PER_MESSAGE_MAX": EVENTS_PER_MESSAGE_MAX,
        "LEVELS_MAX": DEPTH_MAX,
        "MESSAGE_BYTES_MAX": MESSAGE_BYTES_MAX,
        "USAGE_BYTES_MAX": USAGE_BYTES_MAX,
        "COUNTS": {"names": list(TokenCounts.model_fields), "min": 0, "max": TOKENS_MAX},
        "FIELDS": {
            name: _field(name, field) | ({"required": True} if name in schema["required"] else {}) for name, field in schema["properties"].items()
        },
        "ALIASES": ALIASES,
    }


def _field(name: str, field: dict[str, Any]) -> dict[str, Any]:
    (kind,) = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"] if name not in _BY_NAME else [{}]
    if name in _BY_NAME:
        return {"kind": _BY_NAME[name]}
    if "enum" in kind:
        return {"kind": "choice", "of": kind["enum"]}
    match kind["type"]:
        case "string":
            return {"kind": "text", "min": kind["minLength"], "max": kind["maxLength"]}
        case "integer":
            return {"kind": "integer", "min": kind["minimum"], "max": kind["maximum"]}
        case "boolean":
            return {"kind": "boolean"}
    raise ValueError(f"{name}: nothing is known of {kind}")
