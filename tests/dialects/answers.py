"""What the examples of docs/producers.md are answered, and what of it is billed, counted by hand."""

import re
from pathlib import Path
from typing import Any, NamedTuple

PRODUCERS = Path(__file__).resolve().parents[2] / "docs" / "producers.md"
_EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DIALECT = re.compile(r'"usage_dialect": "([\w.]+)"')


class Answer(NamedTuple):
    """One provider's answer, and what is read off it."""

    response: dict[str, Any]
    leaves: dict[str, int]
    cost: str | None = None


_CHOICES = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}]
_CHAT = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5.6-2026-08-01", "choices": _CHOICES}
ANSWERS = {
    "openai.chat": Answer(
        _CHAT
        | {
            "service_tier": "default",
            "usage": {
                "prompt_tokens": 2006,
                "completion_tokens": 300,
                "total_tokens": 2306,
                "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0, "cache_write_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0, "rejected_prediction_tokens": 0},
            },
        },
        {"input": 86, "cache_read": 1920, "output": 236, "output_reasoning": 64},
    ),
    "openai.responses": Answer(
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 1.0,
            "model": "gpt-5.6-2026-08-01",
            "output": [],
            "tools": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "status": "completed",
            "service_tier": "priority",
            "usage": {
                "input_tokens": 6000,
                "input_tokens_details": {
                    "cached_tokens": 1000,
                    "cache_write_tokens": 4500,
                    "cache_write_tokens_details": {"ttl_30m_tokens": 500, "ttl_12h_tokens": 4000},
                },
                "output_tokens": 52,
                "output_tokens_details": {"reasoning_tokens": 40},
                "total_tokens": 6052,
            },
        },
        {"input": 500, "cache_read": 1000, "cache_write_30m": 500, "cache_write_12h": 4000, "output": 12, "output_reasoning": 40},
    ),
    "anthropic.messages": Answer(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-5-5",
            "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "Hi"}],
            "usage": {
                "input_tokens": 21,
                "cache_creation_input_tokens": 248,
                "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
                "cache_read_input_tokens": 1800,
                "output_tokens": 503,
                "output_tokens_details": {"thinking_tokens": 400},
                "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
                "service_tier": "standard",
                "inference_geo": "us",
            },
        },
        {
            "input": 21,
            "cache_write_5m": 148,
            "cache_write_1h": 100,
            "cache_read": 1800,
            "output": 103,
            "output_reasoning": 400,
            "web_search": 2,
        },
    ),
    "google.generate_content": Answer(
        {
            "response_id": "r1",
            "model_version": "gemini-3-pro",
            "candidates": [],
            "usage_metadata": {
                "prompt_token_count": 5000,
                "cached_content_token_count": 4000,
                "candidates_token_count": 50,
                "thoughts_token_count": 200,
                "total_token_count": 5250,
                "prompt_tokens_details": [{"modality": "TEXT", "token_count": 4900}, {"modality": "IMAGE", "token_count": 100}],
                "cache_tokens_details": [{"modality": "TEXT", "token_count": 4000}],
            },
        },
        {"input": 900, "input_image": 100, "cache_read": 4000, "output": 50, "output_reasoning": 200},
    ),
    "bedrock.converse": Answer(
        {
            "ResponseMetadata": {"RequestId": "b1"},
            "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
            "serviceTier": {"type": "default"},
            "usage": {
                "inputTokens": 2,
                "outputTokens": 40,
                "totalTokens": 14042,
                "cacheReadInputTokens": 13600,
                "cacheWriteInputTokens": 400,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 300}, {"ttl": "5m", "inputTokens": 100}],
            },
        },
        {"input": 2, "cache_read": 13600, "cache_write_1h": 300, "cache_write_5m": 100, "output": 40},
    ),
    "openrouter.chat": Answer(
        _CHAT
        | {
            "model": "anthropic/claude-sonnet-5.5",
            "usage": {
                "prompt_tokens": 194,
                "completion_tokens": 2,
                "total_tokens": 196,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0},
                "cost": 0.0042,
                "is_byok": False,
                "cost_details": {"upstream_inference_cost": 0.004},
            },
        },
        {"input": 94, "cache_write": 100, "output": 2},
        cost="0.0042",
    ),
}


def examples() -> dict[str, str]:
    """The examples that forward an object, by their dialect."""
    blocks = _EXAMPLE.findall(PRODUCERS.read_text(encoding="utf-8"))
    return {match[1]: code for code in blocks if (match := _DIALECT.search(code))}
