"""The fields of an event out of a provider's answer: its usage object is forwarded as it came, with its dialect, and read by Tollbook.

No SDK is imported: an answer may be an SDK's object or the decoded JSON. What has no usage gives `usage_basis` `none`: what it cost is not
known, which is another thing than nothing.
"""

from collections.abc import Mapping
from typing import Any

Fields = dict[str, Any]


def from_openai(answer: object) -> Fields:
    """The fields of an answer of OpenAI's chat completions, responses, embeddings or images, or of what speaks as they do.

    Args:
        answer: the answer; of a stream its last object (of chat completions with `stream_options={"include_usage": True}`).

    Raises:
        TypeError: it is nothing of the kind.
    """
    if str(_get(answer, "type")).startswith("response."):  # an event of a stream, which has the whole answer in it
        answer = _get(answer, "response")
    _require(answer, "usage", "model")
    usage = _get(answer, "usage")
    responses = _get(answer, "object") == "response" or (usage is not None and _get(usage, "input_tokens") is not None)
    tier = _get(answer, "service_tier")
    return _fields("openai", _get(answer, "model"), _get(answer, "id"), usage, "openai.responses" if responses else "openai.chat", service_tier=tier)


def from_anthropic(answer: object) -> Fields:
    """The fields of a message of Anthropic's; its usage object tells the tier itself.

    Args:
        answer: the message; of a stream what `stream.get_final_message()` returns.

    Raises:
        TypeError: it is nothing of the kind, for example an event of a stream.
    """
    _require(answer, "usage", "model")
    if _get(answer, "type") not in (None, "message"):
        raise TypeError(f"an answer is a message, of a stream its final one, not {_get(answer, 'type')!r}")
    return _fields("anthropic", _get(answer, "model"), _get(answer, "id"), _get(answer, "usage"), "anthropic.messages")


def from_gemini(answer: object) -> Fields:
    """The fields of an answer of Google's generate content, Gemini API or Vertex AI, by its SDK's names or as JSON.

    Args:
        answer: the answer; of a stream its last object.

    Raises:
        TypeError: it is nothing of the kind.
    """
    _require(answer, "usage_metadata", "usageMetadata", "model_version", "modelVersion")
    model, request, usage = (_get(answer, *names) for names in _GEMINI)
    return _fields("google", model, request, usage, "google.generate_content")


_GEMINI = (("model_version", "modelVersion"), ("response_id", "responseId"), ("usage_metadata", "usageMetadata"))


def _fields(provider: str, model: Any, request_id: Any, usage: Any, dialect: str, **more: Any) -> Fields:
    fields: Fields = {"provider": provider, "model": model, "provider_request_id": request_id, **more}
    fields |= {"usage_basis": "none"} if usage is None else {"usage_dialect": dialect, "usage": _plain(usage)}
    return {name: value for name, value in fields.items() if value is not None}


def _get(answer: object, *names: str) -> Any:
    """What the first of the names has that has anything."""
    values = (answer.get(name) if isinstance(answer, Mapping) else getattr(answer, name, None) for name in names)
    return next((value for value in values if value is not None), None)


def _require(answer: object, *names: str) -> None:
    if not any(name in answer if isinstance(answer, Mapping) else hasattr(answer, name) for name in names):
        raise TypeError(f"an answer is the SDK's object, or its decoded JSON, with {' or '.join(names)}; not {type(answer).__name__}")


def _plain(usage: object) -> dict[str, Any]:
    if isinstance(usage, Mapping):
        return dict(usage)
    dump = getattr(usage, "model_dump", None)
    if dump is None:
        raise TypeError(f"a usage object is a mapping, or has model_dump(); not {type(usage).__name__}")
    dumped: dict[str, Any] = dump(mode="json", exclude_unset=True)  # what came, and not what might have
    return dumped
