"""The examples of docs/producers.md forward what their provider answered, and it is billed as it was counted by hand."""

import json
import sys
from decimal import Decimal
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from core.dialects.all import read_usage
from core.dialects.model import Call, Cost, UsageDialect
from core.events.contract import EventContractV2
from core.json_exact import decode_json
from tests.dialects.answers import ANSWERS, Answer, examples


class Model(SimpleNamespace):
    """An object of an SDK: attributes, and what it gives when it is dumped."""

    def model_dump(self, *, mode: str) -> Any:
        """The object as the SDK would give it."""
        assert mode == "json"
        return self.__dict__["dumped"]


def model_of(value: Any) -> Any:
    """An answer as an SDK's object."""
    if not isinstance(value, dict):
        return value
    return Model(dumped=value, **{key: model_of(held) for key, held in value.items()})


class Client:
    """An SDK whose every call is answered with one answer."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        return self._answered if name in ("create", "generate_content", "converse") else self

    def __call__(self, *_: object, **__: object) -> Any:
        """Makes a client, too."""
        return self

    def _answered(self, **_: object) -> object:
        return self._answer


def stand_ins(answer: Answer) -> dict[str, ModuleType]:
    """Modules in the place of the SDKs."""
    modules = {name: ModuleType(name) for name in ("openai", "anthropic", "google", "google.genai", "boto3")}
    client: Any = Client(model_of(answer.response))
    vars(modules["openai"])["OpenAI"] = vars(modules["anthropic"])["Anthropic"] = client
    vars(modules["google"])["genai"] = vars(modules["google.genai"])["Client"] = client
    vars(modules["boto3"])["client"] = Client(answer.response)
    return modules


def is_billed_as_counted(dialect: str, event: dict[str, Any]) -> None:
    """The event is taken, and its usage object comes to the leaves that were counted."""
    answer = ANSWERS[dialect]
    taken = EventContractV2.read(decode_json(json.dumps(event).encode()))  # type: ignore[arg-type]
    assert taken.raw_usage is not None
    assert taken.provider is not None
    usage = taken.raw_usage.decoded()
    reading = read_usage(UsageDialect(dialect), usage, Call(taken.provider, taken.model))
    assert {leaf: number for leaf, number in reading.leaves.items() if number} == answer.leaves
    assert reading.unmapped == ()
    assert reading.cost == (None if answer.cost is None else Cost(Decimal(answer.cost), "USD"))


@pytest.fixture
def own_modules(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What the examples find in the environment."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "none")
    return monkeypatch


@pytest.mark.parametrize("dialect", ANSWERS)
def test_an_example_forwards_what_is_billed(dialect: str, own_modules: pytest.MonkeyPatch) -> None:
    """Each example of a dialect builds an event of contract version 2 whose object comes to what a person counted."""
    for name, module in stand_ins(ANSWERS[dialect]).items():
        own_modules.setitem(sys.modules, name, module)
    found: dict[str, Any] = {}
    exec(examples()[dialect], found)
    is_billed_as_counted(dialect, found["event"])


def test_every_dialect_of_a_provider_has_an_example() -> None:
    """No provider's dialect is without an example, but Tollbook's own and those that are told in a table only."""
    assert set(examples()) == set(ANSWERS)
