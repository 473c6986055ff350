"""Events of version 2 for benchmarks, and a price book for them: 30 models, a rate, a rule, mandates under each mode."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.dialects.model import Leaf
from core.prices.accept import accept
from core.prices.fx import GivenRate, import_fx
from core.prices.model import Layer, Mode, PriceRow
from core.prices.modes import set_mode
from core.prices.offer import Offer
from core.prices.propose import propose
from core.prices.rules import add_rule
from lab.bench.traffic import MANDATES, USERS, Event, Member, events
from lab.services import Services

MODELS = [f"gpt-{number}" for number in range(30)]
_USD_PER_MILLION = {Leaf.INPUT: "5", Leaf.CACHE_READ: "0.5", Leaf.OUTPUT: "15", Leaf.OUTPUT_REASONING: "15"}
_USUAL = {"region_scope": "global", "service_tier": "default", "processing": "interactive", "speed": "standard"}
_MANDATES = f"INSERT INTO directory_mandates (id, name) SELECT %s || g, 'Mandate ' || g FROM generate_series(0, {MANDATES - 1}) g"
_MEMBERS = f"""
    INSERT INTO directory_memberships (mandate_id, user_id)
    SELECT %s || g, 'u' || u FROM generate_series(0, {MANDATES - 1}) g, generate_series(0, {USERS - 1}) u
"""
_MODES = (Mode.SHADOW, Mode.COMPUTED)


def open_price_book(services: Services) -> None:
    """Lets 50 mandates be billed under `shadow` and 50 under `computed` in books that have no prices yet."""
    with psycopg.connect(services.database_owner_url) as connection:
        for mode in _MODES:
            connection.execute(_MANDATES, [mode.value])
            connection.execute(_MEMBERS, [mode.value])
    config = Configuration(database_url=services.database_url)
    database = Database(config.require_database_url(), config)
    _accept_prices(database)
    for mode in _MODES:
        for number in range(MANDATES):
            set_mode(database, ROOT, f"{mode}{number}", mode, created_by="bench", since=datetime.now(UTC) - timedelta(days=1))


def _accept_prices(database: Database) -> None:
    rows = [_row(model, leaf, amount) for model in MODELS for leaf, amount in _USD_PER_MILLION.items()]
    proposal = propose(database, ROOT, Offer(source="benchmark", source_hash="0" * 64, rows=rows, defaults={"openai": _USUAL}), proposed_by="bench")
    assert proposal.version is not None
    accept(database, ROOT, proposal.version.id, accepted_by="bench")
    today = datetime.now(UTC).date()
    rates = [GivenRate("USD", today - timedelta(days=days), Decimal("0.8")) for days in range(1, 4)]
    import_fx(database, ROOT, rates, source="benchmark", created_by="bench")
    add_rule(database, ROOT, markup_percent=Decimal(10), created_by="bench")


def _row(model: str, leaf: Leaf, usd: str) -> PriceRow:
    return PriceRow(
        id=0,
        layer=Layer.LIST,
        mandate_id="",
        book="",
        provider="openai",
        model=model,
        **_USUAL,
        leaf=leaf,
        from_tokens=None,
        boundary=None,
        amount=Decimal(usd),
        per=1_000_000,
        currency="USD",
        valid_from=None,
        valid_to=None,
    )


def priced_events(n: int, mode: Mode, *, members: Iterator[Member] | None = None) -> Iterator[Event]:
    """`n` events of version 2 of mandates under this mode, or of `members`.

    Each has an OpenAI response's usage object of about 150 bytes, and a price only where it is billed.
    """
    for event in events(n, members=members or _members(mode)):
        whole, out = random.randrange(20_000), random.randrange(2_000)
        usage = {
            "input_tokens": whole,
            "input_tokens_details": {"cached_tokens": random.randrange(whole + 1)},
            "output_tokens": out,
            "output_tokens_details": {"reasoning_tokens": random.randrange(out + 1)},
            "total_tokens": whole + out,
        }
        called = {"provider": "openai", "model": random.choice(MODELS), "service_tier": "default"}
        event |= {**called, "usage_dialect": "openai.responses", "usage": usage}
        if mode is Mode.COMPUTED:
            del event["price_chf"]
        yield event


def _members(mode: Mode) -> Iterator[Member]:
    while True:
        yield f"{mode}{random.randrange(MANDATES)}", f"u{random.randrange(USERS)}"
