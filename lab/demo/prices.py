"""The prices of the demo: what it brings into the price book, and a second rater of what each event must be billed.

The second rater is the oracle's: it shares no line with the product, and knows what was used from the call, not from
its usage object.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.asking.rights import ROOT
from core.database.database import Database
from core.errors import RequestRefused
from core.prices.accept import accept
from core.prices.fx import GivenRate, import_fx
from core.prices.import_prices import Source, import_prices
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.prices.read import model_rows
from core.prices.rules import add_rule
from core.prices.version import Version
from lab.demo.directory import MANDATES
from lab.demo.traffic import CHF_PER_USD, MODELS, UNLISTED, Call, Event, booked, used_by
from lab.oracle import entries
from lab.oracle.pricing import PriceBook

BY = "demo"
FX_SOURCE = "tollbook demo (made up)"
MARKUP_OF_ALL, MARKED_UP, MARKUP = Decimal(0), "harbour", Decimal(10)  # percent; a mandate with a rule of its own
UNLISTED_PRICES = {"input": "1.5", "cache_read": "0.15", "output": "6", "output_reasoning": "6"}  # USD for 1,000,000
_STANDARD = {"region_scope": "global", "service_tier": "standard", "processing": "interactive", "speed": "standard"}
_OPENAI = {**_STANDARD, "service_tier": "default"}
_ANY_TIME = {"valid_from": None, "valid_to": None}


def open_prices(database: Database, first: datetime, now: datetime) -> Version:
    """Accepts the list prices of genai-prices, and writes rates, sale rules and modes for calls from `first` to now."""
    rates = [GivenRate("USD", on, CHF_PER_USD) for on in _days(first, now)]
    import_fx(database, ROOT, rates, source=FX_SOURCE, created_by=BY)
    version = _accepted(database, Source.GENAI_PRICES, None, now)
    add_rule(database, ROOT, markup_percent=MARKUP_OF_ALL, created_by=BY)
    add_rule(database, ROOT, markup_percent=MARKUP, mandate_id=MARKED_UP, created_by=BY)
    for mandate in MANDATES:
        if mandate.mode is not Mode.GIVEN:
            set_mode(database, ROOT, mandate.id, mandate.mode, created_by=BY, since=first)
    return version


def accept_unlisted(database: Database, folder: Path, now: datetime) -> Version:
    """Accepts a second version: the first one and, from a CSV file, the model that it has no price of."""
    provider, model = UNLISTED
    file = folder / "prices.csv"
    rows = [f"{provider},{model},{leaf},{amount},1000000,USD" for leaf, amount in UNLISTED_PRICES.items()]
    file.write_text("\n".join(["provider,model,leaf,amount,per,currency", *rows, ""]), encoding="utf-8")
    return _accepted(database, Source.CSV, file, now)


def _accepted(database: Database, source: Source, file: Path | None, now: datetime) -> Version:
    version = import_prices(database, ROOT, source, file, proposed_by=BY, now=now).version
    assert version, "it is new"
    accept(database, ROOT, version.id, accepted_by=BY)
    return version


def _days(first: datetime, now: datetime) -> Iterator[date]:
    """A call takes a rate of an earlier day."""
    day = first.date() - timedelta(days=1)
    while day < now.date():
        yield day
        day += timedelta(days=1)


class SecondRater:
    """What each event must be billed, by the oracle's arithmetic over the rows that are accepted now and later."""

    def __init__(self, database: Database, first: datetime, now: datetime) -> None:
        self._book = PriceBook()
        self._book.accept([*_listed(database), *_unlisted()])
        plain = {"provider": None, "model": None, "book": None, "priority": 0, **_ANY_TIME}
        for mandate, percent in ((None, MARKUP_OF_ALL), (MARKED_UP, MARKUP)):
            self._book.replace("rules", None, {**plain, "mandate_id": mandate, "markup_percent": percent})
        for on in _days(first, now):
            self._book.replace("fx", None, {"currency": "USD", "on": on, "rate": CHF_PER_USD})
        self._book.book["defaults"] = {"anthropic": _STANDARD, "google": _STANDARD, "openai": _OPENAI}
        self._book.modes.update({mandate.id: [(first, mandate.mode.value)] for mandate in MANDATES})

    def bill(self, call: Call, event: Event) -> entries.Bill:
        """What an event must come to.

        Raises:
            RequestRefused: it uses more than any price is made for.
        """
        price, dialect, told = event.get("price_chf"), event.get("usage_dialect"), None
        if dialect is not None:
            told = entries.Call("", dialect, used_by(call).leaves(), tier=event.get("service_tier"))
        whose = event["mandate_id"], event["event_id"], event["user_id"]
        names = event["provider"], event["model"], event["feature_code"]
        given = None if price is None else booked(price)
        found = self._book.judge(entries.Event(*whose, given, call.at, names, call=told))
        if isinstance(found, str):
            tokens = f"{call.context_tokens} and {call.generated_tokens} tokens"
            raise RequestRefused(f"call {call.number} of {tokens} can't be priced: {found}")
        return found


def _listed(database: Database) -> Iterator[dict[str, Any]]:
    """The rows of the models that the demo calls, as the oracle takes them."""
    for provider, model in MODELS:
        for row in model_rows(database, ROOT, model, provider=provider):
            yield {name: getattr(row, name) for name in row.__slots__}


def _unlisted() -> Iterator[dict[str, Any]]:
    provider, model = UNLISTED
    plain = {"layer": "list", "mandate_id": "", "book": "", "provider": provider, "model": model, **_OPENAI}
    always = {"from_tokens": None, "boundary": None, "per": 1_000_000, "currency": "USD", **_ANY_TIME}
    for leaf, amount in UNLISTED_PRICES.items():
        yield {**plain, **always, "leaf": leaf, "amount": Decimal(amount)}
