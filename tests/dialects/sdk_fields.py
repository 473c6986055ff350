"""Runs where the SDKs are installed, and knows nothing of Tollbook: what their usage types can hold, and how they dump an answer.

`fields`: JSON of each dialect's fields: `path` (lists as `[]`), and `probe`, a usage object in which it alone is 1, for those that are numbers;
Google's once more without a path, as the SDK spells them.
`event`: of a dialect and an answer (JSON on standard input), the event that the example on standard input, too, makes of it.
"""

import enum
import gzip
import json
import os
import sys
import types
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

Probe = dict[str, Any]
TYPES = {
    "openai.chat": ["openai.types:CompletionUsage", "openai.types.create_embedding_response:Usage"],
    "openai.responses": ["openai.types.responses:ResponseUsage", "openai.types.images_response:Usage"],
    "anthropic.messages": [
        *("anthropic.types:Usage", "anthropic.types:MessageDeltaUsage"),
        *("anthropic.types.beta:BetaUsage", "anthropic.types.beta:BetaMessageDeltaUsage"),
    ],
    "google.generate_content": ["google.genai.types:GenerateContentResponseUsageMetadata"],
    "openrouter.chat": ["openrouter.components.chatusage:ChatUsage"],
    "mistral.chat": ["mistralai.client.models.usageinfo:UsageInfo"],
    "cohere.v2": ["cohere:Usage"],
    "langchain.usage_metadata": ["langchain_core.messages.ai:UsageMetadata"],
}
WRAPPERS = ("typing.NotRequired", "typing.Required")
SHAPES = {"bedrock.converse": ("bedrock-runtime", "TokenUsage")}


def fields_of(kind: Any, *, aliased: bool) -> Iterator[tuple[str, Any]]:
    """The fields of a pydantic model or a typed dict, and the type of each."""
    if hasattr(kind, "model_fields"):
        for name, field in kind.model_fields.items():
            yield (field.alias or name) if aliased else name, field.annotation
    elif hasattr(kind, "__total__"):  # whichever module made it
        yield from typing.get_type_hints(kind).items()


def variants(kind: Any) -> Iterator[Any]:
    """The types that an annotation allows, a list as such."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType, typing.Annotated) or str(origin) in WRAPPERS or hasattr(origin, "__value__"):
        for one in typing.get_args(kind)[: 1 if origin is typing.Annotated else None]:
            yield from variants(one)
    elif kind is not type(None):
        yield kind


def walk(kind: Any, *, aliased: bool, depth: int = 0) -> Iterator[tuple[str, Probe | None]]:
    """The fields below a type, each with a probe if it is a number."""
    words = {name: one for name, annotation in fields_of(kind, aliased=aliased) for one in variants(annotation) if word_of(one)}
    for name, annotation in fields_of(kind, aliased=aliased):
        for one in variants(annotation):
            if one in (int, float):
                for beside in every_word(words):
                    yield name, {**beside, name: 1}
            elif typing.get_origin(one) is list and depth < 4:
                for item in variants(typing.get_args(one)[0]):
                    for path, probe in walk(item, aliased=aliased, depth=depth + 1):
                        yield f"{name}[].{path}", None if probe is None else {name: [probe]}
            elif (hasattr(one, "model_fields") or hasattr(one, "__total__")) and depth < 4:
                for path, probe in walk(one, aliased=aliased, depth=depth + 1):
                    yield f"{name}.{path}", None if probe is None else {**next(every_word(words)), name: probe}
            else:
                yield name, None


def word_of(kind: Any) -> list[str]:
    """The words of a closed list."""
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    return [member.value for member in kind] if isinstance(kind, type) and issubclass(kind, enum.Enum) else []


def every_word(words: dict[str, Any]) -> Iterator[Probe]:
    """What stands beside a number: each word that tells what kind of number it is."""
    kinds = [(name, word) for name, one in words.items() if name in ("type", "modality", "ttl") for word in word_of(one)]
    yield from [{name: word} for name, word in kinds] or [{}]


def walk_shape(shapes: dict[str, Any], name: str) -> Iterator[tuple[str, Probe | None]]:
    """The same for a shape of botocore."""
    members = shapes[name]["members"]
    words = {key: shapes[member["shape"]]["enum"] for key, member in members.items() if "enum" in shapes[member["shape"]]}
    for key, member in members.items():
        shape = shapes[member["shape"]]
        if shape["type"] in ("integer", "long", "float", "double"):
            for beside in [{name: word} for name, known in words.items() for word in known] or [{}]:
                yield key, {**beside, key: 1}
        elif shape["type"] == "list":
            for path, probe in walk_shape(shapes, shape["member"]["shape"]):
                yield f"{key}[].{path}", None if probe is None else {key: [probe]}
        elif shape["type"] == "structure":
            for path, probe in walk_shape(shapes, member["shape"]):
                yield f"{key}.{path}", None if probe is None else {key: probe}
        else:
            yield key, None


def fields() -> dict[str, list[dict[str, Any]]]:
    """The fields of every dialect's types."""
    found: dict[str, list[tuple[str | None, Probe | None]]] = {}
    for dialect, names in TYPES.items():
        for name in names:
            module, _, attribute = name.partition(":")
            kind = getattr(import_module(module), attribute)
            found.setdefault(dialect, []).extend(walk(kind, aliased=True))
            if dialect == "google.generate_content":
                spelt = [(None, probe) for _, probe in walk(kind, aliased=False)]
                found[dialect] += [one for one in spelt if one[1] is not None]
    attributes = vars(import_module("opentelemetry.semconv._incubating.attributes.gen_ai_attributes"))
    found["otel.genai"] = [(held, {held: 1}) for name, held in attributes.items() if name.startswith("GEN_AI_USAGE_")]
    for dialect, (service, shape) in SHAPES.items():
        data = Path(import_module("botocore").__file__ or "").parent / "data" / service
        (newest,) = sorted(data.glob("*/service-2.json.gz"))[-1:]
        found[dialect] = list(walk_shape(json.loads(gzip.decompress(newest.read_bytes()))["shapes"], shape))
    return {dialect: [{"path": path, "probe": probe} for path, probe in paths] for dialect, paths in found.items()}


def answered(dialect: str, response: dict[str, Any]) -> None:
    """Puts an answer, as the SDK's own type, in the place of the call to the provider."""
    if dialect in ("openai.chat", "openrouter.chat"):
        answer = import_module("openai.types.chat").ChatCompletion.model_validate(response)
        import_module("openai.resources.chat.completions").Completions.create = lambda *_, **__: answer
    elif dialect == "openai.responses":
        answer = import_module("openai.types.responses").Response.model_validate(response)
        import_module("openai.resources.responses").Responses.create = lambda *_, **__: answer
    elif dialect == "anthropic.messages":
        answer = import_module("anthropic.types").Message.model_validate(response)
        import_module("anthropic.resources.messages").Messages.create = lambda *_, **__: answer
    elif dialect == "google.generate_content":
        answer = import_module("google.genai.types").GenerateContentResponse.model_validate(response)
        import_module("google.genai.models").Models.generate_content = lambda *_, **__: answer
    else:
        import_module("botocore.client").BaseClient._make_api_call = lambda *_, **__: response


def event(dialect: str, response: dict[str, Any], example: str) -> dict[str, Any]:
    """The event that an example makes of an answer."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "none"
    answered(dialect, response)
    found: dict[str, Any] = {}
    exec(example, found)
    made: dict[str, Any] = found["event"]
    return made


if __name__ == "__main__":
    if sys.argv[1:] == ["fields"]:
        json.dump(fields(), sys.stdout)
    else:
        json.dump(event(**json.load(sys.stdin)), sys.stdout)
