"""`tollbook usage read`: what a person and a program see of a usage object."""

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from tests.dialects.objects import OBJECTS

RESPONSE = {"id": "x", "model": "openai/gpt-5.6", "usage": {"prompt_tokens": 5000, "prompt_tokens_details": {"cache_write_tokens": 4000}}}


def ended(*arguments: str) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(["usage", "read", *arguments])
    return int(end.value.code or 0)


def test_people_see_leaves_and_what_is_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table has each leaf and the sums of input and output; what can't be priced is named."""
    file = tmp_path / "usage.json"
    file.write_text(json.dumps({"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 64}, "holo_tokens": 3}))
    assert ended(str(file), "--dialect", "openai.chat") == 0
    out = capsys.readouterr().out
    rows = dict(re.split(" {2,}", line.strip()) for line in out.splitlines()[2:-1])
    assert rows == {"input": "36", "cache_read": "64", "output": "7", "all input": "100", "all output": "7"}
    assert out.endswith("not known, so that it can't be priced: holo_tokens\n")


def test_a_whole_response_tells_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Out of a response on standard input come its usage object and its model; an option says otherwise."""
    told = []
    for options in ((), ("--model", "anthropic/claude-sonnet-5.5")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(RESPONSE).encode())))
        assert ended("-", "--dialect", "openrouter.chat", "--json", *options) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert [(one["model"], one["leaves"]) for one in told] == [
        ("openai/gpt-5.6", {"input": 1000, "cache_write_30m": 4000}),
        ("anthropic/claude-sonnet-5.5", {"input": 1000, "cache_write": 4000}),
    ]
    assert told[0]["not_read"] is None
    assert told[0]["dialect_version"] == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("openai.chat/total_is_another", "not read: usage_contradiction: total_tokens 30 is not the sum of its parts, 29"),
        ("anthropic.messages/a_compaction_is_billed_beside", "not read: multi_model: iterations[0].type 'compaction' is billed beside the sums"),
    ],
)
def test_why_an_object_is_not_read(name: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Reason, key and value stand in one line, and the exit code is 1; a program gets them as fields."""
    file, dialect = str(OBJECTS / f"{name}.json"), name.partition("/")[0]
    assert ended(file, "--dialect", dialect) == 1
    assert says in capsys.readouterr().out
    assert ended(file, "--dialect", dialect, "--json") == 1
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert f"not read: {told['not_read']}: {told['detail']}".startswith(says)
    assert told["leaves"] == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1]", "error: file: is no JSON object"),
        (b"{", "error: file: "),
        (b'{"a": 1, "a": 2}', "error: file: key 'a' is given twice"),
        (b"\xff", "error: file: is not UTF-8"),
    ],
)
def test_what_is_no_object(content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that has no JSON object is an error in one line, without a trace of Python."""
    file = tmp_path / "usage.json"
    file.write_bytes(content)
    assert ended(str(file), "--dialect", "openai.chat") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(says)
    assert shown.err.count("\n") == 1
