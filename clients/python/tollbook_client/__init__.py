"""Tollbook's client for producers: sends AI usage, with ids that make a repetition harmless, and asks before a call."""

from tollbook_client.aio import AsyncClient
from tollbook_client.answers import CheckAnswer, HoldAnswer, HoldChange, Outcome
from tollbook_client.client import Client
from tollbook_client.errors import AnswerError, ClientError, Closed, ContractError, NoAnswer, QueueFull
from tollbook_client.journal import Journal
from tollbook_client.sequence import uuid7
from tollbook_client.tls import Tls
from tollbook_client.transport import NotDelivered
from tollbook_client.usage import from_anthropic, from_gemini, from_openai

__all__ = [
    "AnswerError",
    "AsyncClient",
    "CheckAnswer",
    "Client",
    "ClientError",
    "Closed",
    "ContractError",
    "HoldAnswer",
    "HoldChange",
    "Journal",
    "NoAnswer",
    "NotDelivered",
    "Outcome",
    "QueueFull",
    "Tls",
    "from_anthropic",
    "from_gemini",
    "from_openai",
    "uuid7",
]
