"""What the client makes of a provider's answer is what the dialects read: an SDK's object or its JSON, whole or the last of a stream."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tollbook_client import from_anthropic, from_gemini, from_openai
from tollbook_client.contract import encoded

from core.dialects.all import read_usage
from core.dialects.model import Call, UsageDialect
from core.events.parsing import parse_event
from tests.dialects.answers import ANSWERS
from tests.sample_events import event, raw

Fields = dict[str, Any]
GOOGLE = {"model_version": "modelVersion", "response_id": "responseId", "usage_metadata": "usageMetadata"}
HELPERS = {"openai.chat": from_openai, "openai.responses": from_openai, "anthropic.messages": from_anthropic, "google.generate_content": from_gemini}


class Dumped(SimpleNamespace):
    """An SDK's object: attributes, those that didn't come among them, and a dump of those that came."""

    def __init__(self, came: Fields) -> None:
        super().__init__(**{"service_tier": None, "type": None, **{name: Dumped(of) if isinstance(of, dict) else of for name, of in came.items()}})
        self.came = came

    def model_dump(self, *, mode: str, exclude_unset: bool) -> Fields:
        """As pydantic's."""
        assert (mode, exclude_unset) == ("json", True)
        return self.came


@pytest.mark.parametrize("dialect", HELPERS)
def test_an_answer_is_forwarded_as_it_came(dialect: str) -> None:
    """Its usage object, read by the dialect that goes with it, comes to what was counted by hand; what the answer says of itself is there."""
    answer = ANSWERS[dialect]
    fields = HELPERS[dialect](Dumped(answer.response))
    named = {GOOGLE.get(name, name): value for name, value in answer.response.items()}
    assert fields == HELPERS[dialect](answer.response) == HELPERS[dialect](named)
    assert fields["usage"] == named.get("usage", named.get("usageMetadata"))
    read = parse_event(raw(encoded(event(price_chf=..., **fields))))
    assert read.raw_usage is not None
    assert read.call is not None
    assert read.call.provider_request_id == named.get("id", named.get("responseId"))
    reading = read_usage(UsageDialect(dialect), read.raw_usage.decoded(), Call(read.provider, read.model))
    assert {leaf.value: count for leaf, count in reading.leaves.items() if count} == answer.leaves


def test_the_last_object_of_a_stream_has_it() -> None:
    """Of OpenAI's responses that is an event with the whole answer in it; of embeddings nothing streams, and there is no id."""
    whole = {"id": "r1", "object": "response", "model": "gpt", "usage": {"input_tokens": 3, "output_tokens": 2}}
    for last in ({"type": "response.completed", "response": whole}, Dumped({"type": "response.completed", "response": whole})):
        assert from_openai(last) == from_openai(whole)
    chunk = {"id": "c1", "object": "chat.completion.chunk", "model": "gpt", "usage": {"prompt_tokens": 3}}
    assert from_openai(chunk)["usage_dialect"] == "openai.chat"
    embedded = {"object": "list", "data": [], "model": "embedding", "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    assert from_openai(embedded) == {"provider": "openai", "model": "embedding", "usage_dialect": "openai.chat", "usage": embedded["usage"]}


@pytest.mark.parametrize(
    ("helper", "provider", "answer"),
    [
        (from_openai, "openai", {"id": "x", "object": "chat.completion", "model": "m", "usage": None}),
        (from_openai, "openai", {"id": "x", "object": "response", "model": "m"}),
        (from_anthropic, "anthropic", {"id": "x", "type": "message", "model": "m"}),
        (from_gemini, "google", {"response_id": "x", "model_version": "m", "usage_metadata": None}),
    ],
)
def test_no_usage_is_not_no_cost(helper: Callable[[object], Fields], provider: str, answer: Fields) -> None:
    """An answer without usage says that what it cost is not known."""
    assert helper(answer) == {"provider": provider, "model": "m", "provider_request_id": "x", "usage_basis": "none"}


@pytest.mark.parametrize("helper", [from_openai, from_anthropic, from_gemini])
@pytest.mark.parametrize("wrong", [None, 3, "text", {}, SimpleNamespace()])
def test_what_is_no_answer_is_the_callers_error(helper: Callable[[object], Fields], wrong: object) -> None:
    """It isn't taken for a call whose cost is not known; nor is a stream's event for its message."""
    with pytest.raises(TypeError):
        helper(wrong)
    with pytest.raises(TypeError, match="final"):
        from_anthropic({"type": "message_delta", "usage": {"output_tokens": 3}})
