"""The providers' own SDKs: every field that their usage types have is known to the dialect, and their objects are read as they dump them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.dialects.all import DIALECTS, read_usage
from core.dialects.model import Call, NotRead, UsageDialect
from lab.process import moved_clock
from tests.dialects.answers import ANSWERS, examples
from tests.dialects.objects import samples
from tests.dialects.test_examples import is_billed_as_counted

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SCRIPT = Path(__file__).parent / "sdk_fields.py"
CALLERS = ("boto3==1.44.8",)  # what an example imports beside the SDK that has the type
CHAT = {"prompt_tokens": 100, "completion_tokens": 100}
# So much is told beside a field that is probed: wholes that have room for one more part.
BESIDE: dict[str, dict[str, Any]] = {
    "openai.chat": CHAT,
    "openai.responses": {"input_tokens": 100, "output_tokens": 100},
    "openrouter.chat": CHAT,
    "mistral.chat": CHAT,
    "langchain.usage_metadata": {"input_tokens": 100, "output_tokens": 100},
    "otel.genai": {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 100},
    "anthropic.messages": {"input_tokens": 100, "output_tokens": 100, "cache_creation_input_tokens": 1},
    "bedrock.converse": {"inputTokens": 100, "outputTokens": 100, "cacheWriteInputTokens": 1},
    "google.generate_content": {"promptTokenCount": 100, "cachedContentTokenCount": 1, "candidatesTokenCount": 100, "toolUsePromptTokenCount": 9},
}
# Counts that no leaf is for: an event that has one can't be priced, and says so.
NO_LEAF = {
    ("google.generate_content", "candidatesTokensDetails[0].VIDEO"),
    ("google.generate_content", "candidates_tokens_details[0].VIDEO"),
    ("cohere.v2", "billed_units.search_units"),
    ("cohere.v2", "billed_units.classifications"),
}


@pytest.fixture(scope="session")
def sdk_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the SDKs of the versions that the objects name, and nothing of Tollbook."""
    wanted = {one.content["sdk"].replace(" ", "==") for one in samples() if one.content["sdk"]}
    folder = tmp_path_factory.mktemp("sdks")
    now = {name: value for name, value in os.environ.items() if name not in moved_clock()}  # the registry's certificate is of today
    python = folder / "bin" / "python"
    for command in (["venv", folder, "--python", sys.executable], ["pip", "install", "--python", python, *sorted(wanted), *CALLERS]):
        uv = [Path(sys.executable).parent / "uv", *command, "--quiet"]
        ended = subprocess.run(list(map(str, uv)), env=now, capture_output=True, text=True, timeout=600, check=False)
        assert ended.returncode == 0, ended.stderr
    return python


def told(python: Path, *arguments: str, given: str = "") -> Any:
    """What the script says."""
    ended = subprocess.run([python, "-I", SCRIPT, *arguments], input=given, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def is_declared(path: str, keys: set[str]) -> bool:
    """Whether a field, or what it is in, has a line in the dialect's table."""
    return any(path == key or path.startswith((f"{key}.", f"{key}[].")) for key in keys)


def test_every_field_of_an_sdk_is_known(sdk_python: Path) -> None:
    """No SDK's usage type has a field that is missing in the dialect's table, or a number that the dialect would name as unknown."""
    strange = []
    for dialect, fields in told(sdk_python, "fields").items():
        keys = {key.removesuffix("[]") for key in DIALECTS[UsageDialect(dialect)].keys}
        assert len(fields) > 2, dialect
        for field in fields:
            if field["path"] is not None and (dialect, field["path"]) not in NO_LEAF and not is_declared(field["path"], keys):
                strange.append((dialect, field["path"]))
            if field["probe"] is not None:
                strange += [(dialect, path) for path in unknown(dialect, field) if (dialect, path) not in NO_LEAF]
    assert strange == []


def unknown(dialect: str, field: dict[str, Any]) -> tuple[str, ...]:
    """What of a field the dialect doesn't know; what it refuses it knows."""
    beside = BESIDE.get(dialect, {})
    if field["path"] is None:  # as the SDK spells it, and so its wholes
        beside = {"prompt_token_count": 100, "cached_content_token_count": 1, "candidates_token_count": 100, "tool_use_prompt_token_count": 9}
    try:
        return read_usage(UsageDialect(dialect), {**beside, **field["probe"]}, Call(None, None)).unmapped
    except NotRead:
        return ()


@pytest.mark.parametrize("dialect", ANSWERS)
def test_an_example_forwards_the_sdks_own_object(dialect: str, sdk_python: Path) -> None:
    """With the SDK itself, whose answer is made of the provider's JSON, each example's event is billed as a person counted."""
    given = {"dialect": dialect, "response": ANSWERS[dialect].response, "example": examples()[dialect]}
    is_billed_as_counted(dialect, told(sdk_python, "event", given=json.dumps(given)))
