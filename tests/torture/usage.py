"""Usage of the mandates of a plan, as producers would send it: with prices or usage objects, under holds, and some that is no event."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from lab.torture.operator_plan import Plan

GPT, CLAUDE, UNLISTED = ("openai", "gpt-torture"), ("anthropic", "claude-torture"), ("openai", "gpt-unlisted")
COUNT = 6  # of events in a batch


class Usage:
    """Batches of events that nobody sent before."""

    def __init__(self, plan: Plan, chance: Random) -> None:
        self._plan, self._chance, self._number, self._holds = plan, chance, 0, 0

    def batch(self) -> list[dict[str, object]]:
        """Some events; one may be a bad one."""
        events = [self._event() for _ in range(COUNT)] + self._under_holds()
        if self._chance.random() < 0.3:
            events.append({**self._event(), "colour": "blue"})
        return events

    def _event(self) -> dict[str, Any]:
        self._number += 1
        chance = self._chance
        mandate = chance.choice(sorted(self._plan.mandates))
        event: dict[str, Any] = {
            "event_id": f"event-{self._number}",
            "mandate_id": mandate,
            "user_id": chance.choice(self._plan.mandates[mandate]),
            "occurred_at": (datetime.now(UTC) - timedelta(seconds=chance.expovariate(1 / 40_000))).isoformat(),
        }
        if not mandate.startswith("m-priced"):
            provider, model = chance.choice([GPT, CLAUDE])
            return {**event, "provider": provider, "model": model, "price_chf": f"0.{chance.randrange(10**9):09}"}
        given = {} if mandate.startswith("m-priced-computed") else {"price_chf": f"0.{chance.randrange(10**7):09}"}
        return {**event, **given, **self._used()}

    def _used(self) -> dict[str, Any]:
        chance = self._chance
        provider, model = chance.choices([GPT, CLAUDE, UNLISTED], [6, 6, 1])[0]
        told, made = chance.randrange(1, 6_000), chance.randrange(1, 900)
        named = {"provider": provider, "model": model}
        if provider == "anthropic":
            usage = {"input_tokens": told, "output_tokens": made, "cache_read_input_tokens": told // 3, "cache_creation_input_tokens": told % 2}
            return {**named, "usage_dialect": "anthropic.messages", "usage": usage}
        cached, thought = {"cached_tokens": told // 4}, {"reasoning_tokens": made // 2}
        details: dict[str, Any] = {"prompt_tokens_details": cached, "completion_tokens_details": thought}
        usage = {"prompt_tokens": told, "completion_tokens": made, "total_tokens": told + made, **details}
        return {**named, "usage_dialect": "openai.chat", "usage": usage, "service_tier": "default"}

    def _under_holds(self) -> list[dict[str, Any]]:
        """Usage under what the operator was granted since the last batch; of some of it only the first part."""
        if not self._plan.open_holds.exists():
            return []
        lines = self._plan.open_holds.read_text(encoding="utf-8").splitlines()
        new, self._holds = lines[self._holds :], len(lines)
        events = []
        for hold in map(json.loads, new):
            if self._chance.random() < 0.6:
                event = {**self._event(), **{name: hold[name] for name in ("mandate_id", "user_id", "hold_key")}}
                if not hold["mandate_id"].startswith("m-priced"):
                    priced = {"price_chf": event.get("price_chf", "0.01"), "provider": "openai", "model": GPT[1]}
                    event = {name: value for name, value in event.items() if name not in ("usage", "usage_dialect", "service_tier")} | priced
                elif "usage" not in event:
                    event = {name: value for name, value in event.items() if name != "price_chf"} | self._used()
                    event |= {} if hold["mandate_id"].startswith("m-priced-computed") else {"price_chf": "0.01"}
                events.append({**event, "hold_final": self._chance.random() < 0.7})
        return events
