"""What Tollbook answers. Amounts are decimal strings in CHF, times ISO 8601; `docs/checks.md` says what each means."""

import json
from typing import Any, TypedDict, cast


class CheckAnswer(TypedDict):
    """Whether a call may be made (`allowed`, else `reason`), with what there is. Nothing is reserved."""

    allowed: bool
    reason: str | None
    current_balance: str | None
    held: str | None
    available: str | None
    required_amount: str
    billing_model: str
    cap: dict[str, Any] | None
    unjudged_caps: list[int]


class HoldAnswer(TypedDict):
    """Whether a call may be made (`allowed`; go by this one), and what is held for it under `key`."""

    allowed: bool
    reason: str | None
    key: str
    state: str | None
    expires_at: str | None
    amount: str | None
    repeated: bool
    already_captured: bool
    current_balance: str | None
    held: str | None
    available: str | None
    billing_model: str
    detail: str | None
    cap: dict[str, Any] | None
    unjudged_caps: list[int]


class HoldChange(TypedDict):
    """What became of a hold; `done` says whether anything was done."""

    done: bool
    key: str
    state: str
    amount: str
    captured: str
    released: str
    expired: str
    remaining: str
    expires_at: str


class Outcome(TypedDict):
    """What became of an event that isn't in the books: `rejected`, `conflict` or `parked`, and why. The same one may come twice."""

    schema_version: int
    outcome_id: int
    outcome: str
    reason: str
    detail: str
    mandate_id: str | None
    event_id: str | None
    dead_letter_id: int | None
    recorded_at: str


def outcome_in(body: bytes | str) -> Outcome | None:
    """The outcome that a message holds; None where it holds none, since whoever may write to a queue can write anything."""
    found = _object_in(body)
    return cast("Outcome", found) if found is not None and Outcome.__required_keys__ <= found.keys() else None


def answer_in(body: bytes | str) -> dict[str, Any]:
    """The answer that a message holds, with `result` or with `error`; what holds none is the error that says so."""
    found = _object_in(body) or {}
    error = found.get("error")
    if "result" in found or (isinstance(error, dict) and isinstance(error.get("kind"), str) and isinstance(error.get("message"), str)):
        return found
    return {"error": {"kind": "failed", "message": f"what came is no answer: {body[:100]!a}"}}


def _object_in(body: bytes | str) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
