"""Setting the scene in the price book: rows, versions that are accepted."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from core.asking.rights import ROOT
from core.database.database import Database
from core.dialects.model import Leaf
from core.prices.accept import accept
from core.prices.model import Boundary, Layer, PriceRow
from core.prices.offer import Offer
from core.prices.propose import propose

STANDARD = {"region_scope": "global", "service_tier": "default", "processing": "interactive", "speed": "standard"}


def at(day: str) -> datetime:
    """Midnight of a UTC day."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def row(model: str = "gpt", leaf: str = "input", amount: str = "5", **fields: Any) -> PriceRow:
    """A list row of openai, USD per 1,000,000, valid always, for all tiers; `fields` are others."""
    since, until = fields.pop("since", None), fields.pop("until", None)
    boundary = fields.pop("boundary", ">" if fields.get("from_tokens") else ">=" if "from_tokens" in fields else None)
    made = PriceRow(
        id=0,
        layer=Layer.LIST,
        mandate_id="",
        book="",
        provider="openai",
        model=model,
        leaf=Leaf(leaf),
        from_tokens=None,
        boundary=None if boundary is None else Boundary(boundary),
        amount=Decimal(amount),
        per=1_000_000,
        currency="USD",
        valid_from=None if since is None else at(since),
        valid_to=None if until is None else at(until),
        **STANDARD,
    )
    return replace(made, **fields)


def offer(*rows: PriceRow, **fields: Any) -> Offer:
    """What a source offers."""
    return Offer(**{"source": "test", "source_hash": "0" * 64, "rows": rows, "defaults": {"openai": STANDARD}, **fields})


def accepted(database: Database, rows: Iterable[PriceRow], **options: Any) -> int:
    """The id of a version that has these rows over those of the active one, and is active now."""
    version = propose(database, ROOT, offer(*rows), proposed_by="olga", **options).version
    assert version is not None
    return accept(database, ROOT, version.id, accepted_by="olga").version_id


def accepted_if_new(database: Database, rows: Iterable[PriceRow], defaults: Mapping[str, Mapping[str, str]]) -> None:
    """A version that has these rows over those of the active one is active, or already was."""
    version = propose(database, ROOT, offer(*rows, defaults=defaults), proposed_by="olga").version
    if version is not None:
        accept(database, ROOT, version.id, accepted_by="olga")
