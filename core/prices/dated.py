"""What is dated beside the versions, as it is shown: who said it, and for which time."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from core.prices.model import Mode


@dataclass(frozen=True, slots=True)
class AliasEntry:
    """Another name of a model, exact, and who approved it."""

    id: int
    provider: str
    alias: str
    model: str
    valid_from: datetime | None
    valid_to: datetime | None
    approved_by: str
    approved_at: datetime
    closed_by: str | None


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """What mandates pay: a markup in percent on the provider cost, or the rows of a SALE book. None is any."""

    id: int
    mandate_id: str | None
    priority: int
    provider: str | None
    model: str | None
    markup_percent: Decimal | None
    book: str | None
    valid_from: datetime | None
    valid_to: datetime | None
    created_by: str
    created_at: datetime
    closed_by: str | None


@dataclass(frozen=True, slots=True)
class UnchargedEntry:
    """What isn't charged. None is any."""

    id: int
    mandate_id: str | None
    provider: str | None
    outcome: str
    without_usage: bool
    valid_from: datetime | None
    valid_to: datetime | None
    created_by: str
    created_at: datetime
    closed_by: str | None


@dataclass(frozen=True, slots=True)
class ModeEntry:
    """Which price a mandate pays for what happens from `since` on, until it is told otherwise."""

    id: int
    mandate_id: str
    mode: Mode
    since: datetime
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FxEntry:
    """What one unit of a currency was worth in CHF on a day, and by which legs; one with `replaced_at` isn't used any more."""

    id: int
    currency: str
    rate_date: date
    rate: Decimal
    legs: list[dict[str, Any]]
    source: str
    created_by: str
    created_at: datetime
    replaced_at: datetime | None
