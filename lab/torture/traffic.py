"""What the producers of a torture run send: events of every kind of mandate, copies, conflicts, and what is no event at all."""

import json
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

FEATURES = ("chat", "search", None)
MODELS = (("openai", "gpt-torture"), ("anthropic", "claude-torture"), (None, None))
PRICED = (("openai", "gpt-torture", "openai.chat"), ("anthropic", "claude-torture", "anthropic.messages"))
NEW_MODEL = ("openai", "gpt-unlisted", "openai.chat")
BATCH_EVENTS_MAX = 60
HUGE_BYTES = 300_000
REMEMBERED = 400
# What is no event, and the reason of the dead letter that it must become.
GARBAGE: Mapping[str, str] = {
    "unknown field": "unknown_field",
    "negative price": "invalid_field",
    "not a number": "malformed_json",
    "cut short": "malformed_json",
    "no user": "missing_field",
    "too late": "too_late",
    "future": "future",
    "duplicate key": "duplicate_key",
    "deep": "too_deep",
    "huge": "event_too_large",
    "no event": "malformed_json",
}


KINDS = ("event", "batch", "copy", "conflict", "mixed", "garbage")  # of messages
HOLDS = 0.2  # of events are for a hold, where one is open
HoldOf = Callable[[random.Random, str], Mapping[str, str] | None]
READABLE = frozenset({"unknown field", "negative price", "no user", "too late", "future"})  # what any client can send, for it is JSON


@dataclass(frozen=True, slots=True)
class Message:
    """One message: events of one kind, each as the text that is sent."""

    kind: str
    bodies: tuple[str, ...]


class Traffic:
    """An endless stream of messages, the same for the same seed and start.

    Args:
        name: of the producer: its events' ids begin with it.
        seed: of the run.
        mandates: users by mandate.
        garbage: the kinds of garbage that it can send.
        start: the number of the first message; whoever goes on after a crash names another one than before.
        hold: gives a mandate's hold that is open, to be used by an event: user and key.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        mandates: Mapping[str, list[str]],
        *,
        garbage: Collection[str],
        start: int = 1,
        hold: HoldOf = lambda *_: None,
    ) -> None:
        self._name, self._mandates, self._garbage_kinds, self._next = name, mandates, sorted(garbage), start
        self._chance = random.Random(f"{seed} {name} {start}")
        self._remembered: list[dict[str, Any]] = []
        self._hold, self._holding = hold, random.Random(f"{seed} {name} {start} holds")  # which are open follows from no seed
        self._deck: list[str] = []  # of garbage: each kind comes before one comes again

    def messages(self) -> Iterator[Message]:
        """The messages, one after the other."""
        while True:
            yield self._message()

    def _message(self) -> Message:
        draw = self._chance.random()
        if draw < 0.08 and self._remembered:
            return Message("copy", tuple(json.dumps(one) for one in self._some()))
        if draw < 0.11 and self._remembered:
            return Message("conflict", tuple(json.dumps(self._changed(one)) for one in self._some()[:3]))
        if draw < (0.3 if len(self._garbage_kinds) > len(READABLE) else 0.13) and self._garbage_kinds:
            what = self._drawn(self._garbage_kinds)
            return Message(f"garbage: {what}", (self._garbage(what),))
        if draw < 0.33 and self._garbage_kinds:  # a bad one among good ones must not harm them
            what = self._chance.choice(sorted(READABLE))
            return Message(f"mixed: {what}", (*map(json.dumps, self._events(self._chance.randrange(2, 6))), self._garbage(what)))
        count = 1 if draw < 0.5 else self._chance.randrange(2, BATCH_EVENTS_MAX)
        return Message("event" if count == 1 else "batch", tuple(map(json.dumps, self._events(count))))

    def _drawn(self, kinds: list[str]) -> str:
        self._deck = self._deck or self._chance.sample(kinds, k=len(kinds))
        return self._deck.pop()

    def _events(self, count: int) -> list[dict[str, Any]]:
        events = [self._event() for _ in range(count)]
        self._remembered = [*self._remembered, *events][-REMEMBERED:]
        return events

    def _some(self) -> list[dict[str, Any]]:
        return self._chance.sample(self._remembered, k=min(len(self._remembered), self._chance.randrange(1, 6)))

    def _event(self) -> dict[str, Any]:
        chance = self._chance
        mandate = chance.choice(list(self._mandates))
        user = chance.choice([*self._mandates[mandate], "stranger"]) if chance.random() < 0.05 else chance.choice(self._mandates[mandate])
        number, self._next = self._next, self._next + 1
        event: dict[str, Any] = {
            "event_id": f"{self._name}-{number:08}",
            "mandate_id": mandate,
            "user_id": user,
            "occurred_at": (datetime.now(UTC) - timedelta(seconds=chance.expovariate(1 / 40_000))).isoformat(),
            "feature_code": chance.choice(FEATURES),
        }
        if chance.random() < HOLDS and (hold := self._hold(self._holding, mandate)) is not None:
            event |= {"user_id": hold["user_id"], "hold_key": hold["hold_key"]}
        if mandate.startswith("m-priced"):
            return _present(event | self._used(NEW_MODEL if chance.random() < 0.02 else chance.choice(PRICED), mandate))
        provider, model = chance.choice(MODELS)
        event |= {"price_chf": self._price(), "provider": provider, "model": model}
        if chance.random() < 0.5:
            event["usage"] = {"input_tokens": chance.randrange(10_000), "output_tokens": chance.randrange(2_000)}
        return _present(event)

    def _price(self) -> str:
        chance = self._chance
        if chance.random() < 0.02:
            return chance.choice(["0", "-0", "0.0000000004", "1E-9", "12.5", "0.1234567890123456789"])
        return format(Decimal(chance.randrange(1, 4_000_000)) / Decimal(10**9), "f")

    def _used(self, priced: tuple[str, str, str], mandate: str) -> dict[str, Any]:
        provider, model, dialect = priced
        given, made = self._chance.randrange(1, 5_000), self._chance.randrange(1, 900)
        if dialect == "openai.chat":
            usage: dict[str, Any] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
        else:
            usage = {"input_tokens": given, "output_tokens": made, "cache_read_input_tokens": given // 3, "cache_creation_input_tokens": 0}
        fields: dict[str, Any] = {"provider": provider, "model": model, "usage_dialect": dialect, "usage": usage}
        if provider == "openai":
            fields["service_tier"] = "default"
        return fields if mandate.startswith("m-priced-computed") else {**fields, "price_chf": self._price()}

    def _changed(self, event: Mapping[str, Any]) -> dict[str, Any]:
        if "price_chf" not in event:
            return {**event, "user_id": "somebody-else"}
        return {**event, "price_chf": format(Decimal(event["price_chf"]) + 1, "f")}

    def _garbage(self, what: str) -> str:
        number, self._next = self._next, self._next + 1
        good = {
            "event_id": f"bad-{self._name}-{number:08}",
            "mandate_id": next(iter(self._mandates)),
            "user_id": "u1",
            "price_chf": "0.5",
            "occurred_at": datetime.now(UTC).isoformat(),
        }
        return _spoilt(what, good)


def _spoilt(what: str, good: Mapping[str, Any]) -> str:
    """What is no event, made out of a good one."""
    text = json.dumps(good)
    made = {
        "unknown field": json.dumps({**good, "colour": "blue"}),
        "negative price": json.dumps({**good, "price_chf": "-0.5"}),
        "not a number": text.replace('"0.5"', "NaN"),
        "cut short": text[:-1],
        "no user": json.dumps({name: value for name, value in good.items() if name != "user_id"}),
        "too late": json.dumps({**good, "occurred_at": "2020-02-29T12:00:00+00:00"}),
        "future": json.dumps({**good, "occurred_at": "2199-01-01T00:00:00+00:00"}),
        "duplicate key": f'{text[:-1]}, "price_chf": "0.1"}}',
        "deep": f'{text[:-1]}, "usage": {"[" * 60}{"]" * 60}}}',
        "huge": json.dumps({**good, "description": "x" * HUGE_BYTES}),
        "no event": f"\x01 no event {good['event_id']}",
    }
    return made[what]


def _present(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if value is not None}
