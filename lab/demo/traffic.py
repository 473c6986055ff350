"""A day of AI calls: the rows of a real trace, or of a made one, and the usage events that they become."""

import csv
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Any

from genai_prices import Usage, calc_price

from core.errors import RequestRefused
from core.prices.model import Mode
from lab.demo.directory import MANDATES, USERS, DemoMandate
from lab.demo.usage import DIALECTS, Used, used

CHF_PER_USD = Decimal("0.80")
MODELS = (("anthropic", "claude-sonnet-5-5"), ("openai", "gpt-6.1-terra"), ("google", "gemini-3.8-flash"))
UNLISTED = ("openai", "ft:gpt-6.1-terra:harbour")  # a model of its customer's own, of which no list has a price
UNLISTED_EVERY = 80  # calls, of which one is by it
FEATURES = ("chat", "search", "summary", "code")
COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
SYNTHETIC_EVENTS = 6000
SPAN_DAYS_MAX = 399  # the worker rejects events older than 400 days
_NANO = Decimal("0.000000001")

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One AI call: when it happened and how many tokens it took."""

    number: int
    at: datetime
    context_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class Day:
    """The calls that the demo replays, `shift` later than they are told: none is before `first`."""

    trace: Path | None
    count: int
    shift: timedelta
    now: datetime
    first: datetime

    def calls(self) -> Iterator[Call]:
        """Each call at the time at which the demo has it happen; the last one happens now."""
        for call in read_trace(self.trace) if self.trace else synthetic_day(self.now):
            yield Call(call.number, call.at + self.shift, call.context_tokens, call.generated_tokens)


def day_of(trace: Path | None) -> Day:
    """The day to replay: the trace's, shifted by one constant so that its last call is now, or a synthetic one up to now.

    Raises:
        RequestRefused: the trace is empty, spans more than 399 days, or has a row that is no call; the message names the line.
        OSError: it can't be read.
    """
    now = datetime.now(UTC)
    if trace is None:
        return Day(None, SYNTHETIC_EVENTS, timedelta(0), now, now - timedelta(days=1))
    count, first, last = 0, None, None
    for call in read_trace(trace):
        count += 1
        first, last = min(first or call.at, call.at), max(last or call.at, call.at)
    if first is None or last is None:
        raise RequestRefused(f"{trace}: there is no row after the header {','.join(COLUMNS)}")
    if last - first > timedelta(days=SPAN_DAYS_MAX):
        raise RequestRefused(f"{trace}: it spans {(last - first).days} days; the books take usage of the last 400 days")
    return Day(trace, count, now - last, now, first + (now - last))


def read_trace(path: Path) -> Iterator[Call]:
    """The calls of a CSV file with the columns TIMESTAMP (UTC where no offset stands there), ContextTokens and GeneratedTokens.

    Raises:
        RequestRefused: the header or a row is something else; the message names the line and the value.
        OSError: it can't be read.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.DictReader(file)
        if missing := [column for column in COLUMNS if column not in (rows.fieldnames or [])]:
            raise RequestRefused(f"{path}: the header lacks {', '.join(missing)}")
        for number, row in enumerate(rows):
            try:
                at = datetime.fromisoformat(row["TIMESTAMP"])
                at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
                yield Call(number, at, _tokens(row["ContextTokens"]), _tokens(row["GeneratedTokens"]))
            except (ValueError, TypeError, OverflowError) as error:
                raise RequestRefused(f"{path}:{rows.line_num}: is no call: {error}") from None


def _tokens(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 12:
        raise ValueError(f"{text!r} is not a number of tokens")
    return int(text)


def synthetic_day(now: datetime) -> Iterator[Call]:
    """6,000 calls in the 24 hours up to now, the same at each run but for the date: few at night, two peaks, long contexts, short answers."""
    chance = random.Random(20_260)
    times = sorted(chance.choices(range(24 * 60), weights=[_busyness(minute) for minute in range(24 * 60)], k=SYNTHETIC_EVENTS - 1))
    for number, minute in enumerate([*times, 24 * 60]):
        at = now - timedelta(days=1) + timedelta(minutes=minute, microseconds=chance.randrange(60_000_000) if minute < 24 * 60 else 0)
        context, generated = chance.lognormvariate(7.3, 0.9), chance.lognormvariate(3.4, 1.1)
        yield Call(number, at, min(int(context) + 3, 200_000), min(int(generated) + 1, 8_000))


def _busyness(minute: int) -> float:
    hour = minute / 60
    return 0.15 + math.exp(-(((hour - 10.5) / 2.2) ** 2)) + 0.8 * math.exp(-(((hour - 15.5) / 2.5) ** 2))


def mandate_of(call: Call) -> DemoMandate:
    """The mandate that is billed: a fixed rule of the row number."""
    return MANDATES[call.number % len(MANDATES)]


def model_of(call: Call) -> tuple[str, str]:
    """Its provider and model, by such a rule too."""
    return UNLISTED if call.number % UNLISTED_EVERY == 9 else MODELS[call.number // 7 % len(MODELS)]


def used_by(call: Call) -> Used:
    """What it used, by kind."""
    return used(call.number, model_of(call)[0], call.context_tokens, call.generated_tokens)


def event_of(call: Call) -> Event:
    """The usage event of a call, as its mandate's mode needs it: with a price, the provider's usage object, or both.

    Who made the call and for what is a fixed rule of the row number.
    """
    mandate, (provider, model) = mandate_of(call), model_of(call)
    users = USERS[mandate.id]
    event: Event = {
        "event_id": f"demo-{call.number:08}",
        "mandate_id": mandate.id,
        "user_id": users[call.number // len(MANDATES) % len(users)],
        "occurred_at": call.at.isoformat(),
        "provider": provider,
        "model": model,
        "feature_code": FEATURES[call.number // 11 % len(FEATURES)],
        "usage": {"input_tokens": call.context_tokens, "output_tokens": call.generated_tokens},
    }
    if mandate.mode is not Mode.COMPUTED:
        event["price_chf"] = format(price_of(call, provider, model), "f")
    if mandate.mode is not Mode.GIVEN:
        dialect, answered = DIALECTS[provider]
        event |= {"usage_dialect": dialect, "usage": answered(used_by(call))}
        if provider == "openai":
            event["service_tier"] = "default"  # which OpenAI's answer tells beside the usage object
    return event


def price_of(call: Call, provider: str, model: str) -> Decimal:
    """The list price of the call at its time, in CHF, exact; by a producer that counts cached tokens as any others."""
    listed = calc_price(
        Usage(input_tokens=call.context_tokens, output_tokens=call.generated_tokens), model, provider_id=provider, genai_request_timestamp=call.at
    )
    with localcontext(prec=60):
        return listed.total_price * CHF_PER_USD


def booked(price: str) -> Decimal:
    """What a price comes to in the books, by the rule and not by the product's code: nine places, half-even."""
    return Decimal(price).quantize(_NANO, ROUND_HALF_EVEN)
