"""Proposing a version of the price book: a whole book, of what the active version has and what a source offers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.dialects.model import DIMENSIONS
from core.errors import LinesRefused, RequestRefused
from core.prices.content import Overlap, boundary_faults, described, faults, overlaps
from core.prices.diff import Diff, compared
from core.prices.merge import Merged, merged
from core.prices.model import PriceRow
from core.prices.offer import Offer
from core.prices.sql.state import price_state
from core.prices.sql.versions import defaults_of, find_version, load_book, write_version
from core.prices.version import Version
from core.printable import shown

ROWS_MAX = 200_000
_NOTES_MAX = 5_000
_NAMED_MAX = 1_000
Defaults = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would change. Without anything that would, there is no version."""

    version: Version | None
    diff: Diff


def propose(
    database: Database,
    actor: Actor,
    offer: Offer,
    *,
    proposed_by: str,
    since: datetime | None = None,
    defaults: Defaults | None = None,
    drop_gone_at: datetime | None = None,
) -> Proposal:
    """Writes a proposal of what the source offers over the active version, or nothing where nothing would change.

    Nothing that is rated changes by it. Asking again makes another proposal.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        offer: what the source says.
        proposed_by: who does it.
        since: from when on an undated row holds that changes what the active version says; None: as long as ever.
        defaults: by provider, what stands for a dimension that an event doesn't tell; over those of the offer and the active version.
        drop_gone_at: when rows end that the source doesn't have any more; None: they stay.

    Raises:
        LinesRefused: rows can't be in the book, or two price the same at one time; each is named, and nothing was written.
        RequestRefused: a default is of no dimension.
    """
    require_root(actor, "propose prices")
    _require_sound(offer)
    with database.transaction() as connection:
        active = price_state(connection).active_version  # a version that is accepted meanwhile makes this one too late, which accepting tells
        before = defaults_of(connection, active)
        base = [] if active is None else load_book(connection, active)
        result = merged(base, offer.rows, since=since, covered=offer.covered, drop_gone_at=drop_gone_at)
        _require_clear(result.book)
        all_defaults = _defaults(before, offer.defaults, defaults or {})
        notes = _notes(offer, result, all_defaults)
        if all(row.id for row in result.book) and len(result.book) == len(base) and all_defaults == before:
            return Proposal(None, compared([], [], before, before, notes))
        named = {"based_on": active, "source": offer.source, "source_hash": offer.source_hash, "proposed_by": proposed_by}
        version_id = write_version(connection, result.book, named, defaults=all_defaults, notes=notes)
        version = find_version(connection, version_id)
        kept = {row.id for row in result.book if row.id}
        new, old = [row for row in result.book if not row.id], [row for row in base if row.id not in kept]
        return Proposal(version, compared(new, old, all_defaults, before, notes))


def _require_sound(offer: Offer) -> None:
    """Each row may be in a book, and no two of them price the same."""
    if len(offer.rows) > ROWS_MAX:
        raise RequestRefused(f"has {len(offer.rows)} rows, and a book at most {ROWS_MAX}", field="rows", value=len(offer.rows))
    lines = offer.lines or [0] * len(offer.rows)
    named = [
        (f"line {line}: " if line else f"{described(row)}: ") + f"{fault.field} {fault.reason} (got {fault.value})"
        for row, line in zip(offer.rows, lines, strict=True)
        for fault in faults(row)
    ]
    if not named:
        named = [_told(each, offer) for each in (*overlaps(offer.rows), *boundary_faults(offer.rows))]
    if named:
        raise LinesRefused(f"{offer.source} can't be proposed: {len(named)} faults, and nothing was taken over", named)


def _told(overlap: Overlap, offer: Offer) -> str:
    if not offer.lines:
        return str(overlap)
    lines = {id(row): line for row, line in zip(offer.rows, offer.lines, strict=True)}
    return f"lines {lines[id(overlap.first)]} and {lines[id(overlap.second)]}: {overlap}"


def _require_clear(book: Iterable[PriceRow]) -> None:
    """The merged book holds together too: new rows may contradict old ones of other keys."""
    rows = list(book)
    named = [str(each) for each in islice((*overlaps(rows), *boundary_faults(rows)), _NAMED_MAX)]
    if named:
        raise LinesRefused("the rows contradict those of the active version, and nothing was taken over", named)


def _defaults(before: Defaults, offered: Defaults, given: Defaults) -> dict[str, dict[str, str]]:
    made = {provider: dict(values) for provider, values in before.items()}
    for provider, values in offered.items():
        for dimension, value in values.items():
            made.setdefault(provider, {}).setdefault(dimension, value)  # what was accepted before stays
    for provider, values in given.items():
        for dimension, value in values.items():
            if dimension not in DIMENSIONS:
                raise RequestRefused(f"{shown(dimension)} is none of {', '.join(DIMENSIONS)}", field="default", value=dimension)
            made.setdefault(provider, {})[dimension] = value
    return made


def _notes(offer: Offer, result: Merged, defaults: Defaults) -> dict[str, object]:
    """What is kept beside a version, each list bounded, with how many there were."""
    providers = sorted({row.provider for row in result.book})
    lacking = [f"{provider}.{name}" for provider in providers for name in DIMENSIONS if name not in defaults.get(provider, {})]
    reasons = Counter(one.reason for one in offer.refused)
    return {
        "refused": [one._asdict() for one in offer.refused[:_NOTES_MAX]],
        "refused_counts": dict(sorted(reasons.items())),
        "converted": [one._asdict() for one in offer.converted[:_NOTES_MAX]],
        "gone": [described(row) for row in result.gone[:_NOTES_MAX]],
        "gone_count": len(result.gone),
        "without_default": lacking[:_NOTES_MAX],
    }
