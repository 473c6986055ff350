"""What a producer's client reads off the broker, where others may have written: it never raises what its caller doesn't expect."""

import json

from hypothesis import example, given
from tollbook_client.answers import Outcome, answer_in, outcome_in

from core.outcomes.message import OutcomeMessage
from tests.fuzz.mutations import damaged, odd_json

_OUTCOME = OutcomeMessage.model_validate(
    {
        "outcome_id": 7,
        "outcome": "parked",
        "reason": "unknown_mandate",
        "detail": "é",
        "mandate_id": "acme",
        "event_id": None,
        "dead_letter_id": None,
        "recorded_at": "2026-01-31T11:00:00.123456Z",
    }
).body()
_ANSWERS = [b'{"result": {"allowed": true, "current_balance": "1.5"}}', b'{"error": {"kind": "refused", "message": "no"}}', b'{"result": null}']


@given(damaged([_OUTCOME]) | odd_json(sorted(Outcome.__required_keys__)))
@example(_OUTCOME)
@example(b"\x80\x04K\x01.")
@example(b"[" * 100_000)
def test_an_outcome_is_read_or_left_out(body: bytes) -> None:
    """Whatever stands in the queue: it is an object with each field of an outcome, or None."""
    found = outcome_in(body)
    assert found is None or found.keys() >= Outcome.__required_keys__
    if body == _OUTCOME:
        assert found == json.loads(_OUTCOME)


@given(damaged(_ANSWERS) | odd_json(["result", "error", "kind", "message"]))
@example(b"5")
@example(b'{"error": "no"}')
@example(b"{" * 100_000)
def test_an_answer_is_read_or_an_error(body: bytes) -> None:
    """Whatever stands where an answer should: it has a result, or an error with its kind and a message."""
    found = answer_in(body)
    if "result" not in found:
        assert isinstance(found["error"]["kind"], str)
        assert isinstance(found["error"]["message"], str)
