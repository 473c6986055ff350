"""How far a version of the price book reaches back: which recorded events it would change, until they are re-rated or that is waived."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from pydantic import TypeAdapter
from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.database.database import Database, allow_time, plan_each_time, transaction_time
from core.errors import NotFound, RequestRefused
from core.movements.amended_prices import EVENTS_MAX
from core.movements.repricing import Repricer
from core.movements.rerating import Delta, Reasons, added, deltas_of
from core.movements.sql import reach as sql
from core.movements.sql.amendments import refunded
from core.movements.sql.rerating import Walk, all_mandates, rated_page
from core.prices.differing import changed_defaults, differing_since
from core.prices.sql.state import price_state
from core.prices.sql.versions import defaults_of, find_version, rows_only_in
from core.printable import shown

_DAY = timedelta(days=1)
_REASON_MAX = 500


@dataclass(frozen=True, slots=True)
class ModelReach:
    """So many recorded events of a model would be computed otherwise: at `before` CHF they are now, at `after` CHF they would be.

    The model is as the events name it. Under `shadow` these are the computed prices that stand beside what is billed.
    """

    model: str
    events: int
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class Reach:
    """What a version would change of the events recorded by `counted_at`; waived, that stays as it is."""

    version_id: int
    events: int
    models: list[ModelReach]
    counted_at: datetime
    waived_by: str | None = None
    waived_reason: str | None = None
    waived_at: datetime | None = None


_MODELS: TypeAdapter[list[ModelReach]] = TypeAdapter(list[ModelReach])


def events_changed_by(database: Database, actor: Actor, version_id: int, progress: Callable[[int], None] = lambda _: None) -> list[ModelReach]:
    """The recorded events, by model, that re-rating by this version would change: of all days and mandates; nothing is written.

    Only events of models of which the version says something else than the one they were rated by are looked at, from that moment on,
    a page at a time. What re-rating wouldn't touch, such as refunded events, isn't counted.

    Raises:
        NotFound: there is no such version.
    """
    require_root(actor, "count what prices reach back to")
    with database.snapshot() as connection:
        allow_time(connection)
        if find_version(connection, version_id) is None:
            raise NotFound(f"there is no version {version_id} of the price book", field="version", value=version_id)
        stamp_ids, first = _suspects(connection, version_id)
        if not stamp_ids:
            return []
        repricer, mandate_ids, until = (
            Repricer(connection, version_id),
            all_mandates(connection),
            transaction_time(connection),
        )
    found: dict[tuple[str, str], Delta] = {}
    seen = 0
    for mandate_id in mandate_ids:
        walk, after, more = Walk(mandate_id, first, date.max, until, stamp_ids=stamp_ids), None, True
        while more:
            with database.snapshot() as connection:
                allow_time(connection)
                plan_each_time(connection)
                entries = rated_page(connection, walk, after, EVENTS_MAX)
                amendments = [one.amendment() for one in repricer.judge(connection, entries, Reasons()).repriced]
                touched = refunded(connection, mandate_id, [one.entry.id for one in amendments]) if amendments else set()
            for (_, model), delta in deltas_of(one for one in amendments if one.entry.id not in touched).items():
                found["", model] = added(found.get(("", model)), delta)
            seen, more = seen + len(entries), len(entries) == EVENTS_MAX
            progress(seen)
            after = (entries[-1].recorded_at, entries[-1].id) if more else None
    return [ModelReach(delta.model, delta.events, delta.rated_before, delta.rated_after) for _, delta in sorted(found.items())]


def count_reach(database: Database, actor: Actor, version_id: int, progress: Callable[[int], None] = lambda _: None) -> Reach:
    """Counts what the version would change by now and keeps it: a finding of the nightly check, until it is re-rated or waived. Repeatable.

    Raises:
        NotFound: there is no such version.
    """
    require_root(actor, "count what prices reach back to")
    models = events_changed_by(database, actor, version_id, progress)
    with database.transaction() as connection:
        sql.keep_reach(connection, version_id, sum(model.events for model in models), _MODELS.dump_python(models, mode="json"))
        return _reach(connection, version_id)


def count_again(database: Database, actor: Actor) -> Reach | None:
    """Counts again what the active version would change, where that was never counted, or where something was found and not waived."""
    require_root(actor, "count what prices reach back to")
    with database.snapshot() as connection:
        version_id = sql.to_count(connection)
    return None if version_id is None else count_reach(database, actor, version_id)


def count_active(database: Database, actor: Actor) -> Reach | None:
    """Counts again what the active version would change; none where there is no version."""
    require_root(actor, "count what prices reach back to")
    with database.snapshot() as connection:
        version_id = price_state(connection).active_version
    return None if version_id is None else count_reach(database, actor, version_id)


def waive_reach(database: Database, actor: Actor, version_id: int, *, reason: str, by: str) -> Reach:
    """What the version would change of recorded events is to stay as it is, for a reason. A replay changes nothing and shows the first.

    Raises:
        NotFound: what it would change was never counted: it isn't accepted.
        RequestRefused: the reason is empty, too long, or has what isn't printable.
    """
    require_root(actor, "waive a re-rating")
    if not reason or len(reason) > _REASON_MAX or not reason.isprintable():
        raise RequestRefused(f"must have 1 to {_REASON_MAX} printable characters (got {shown(reason)})", field="reason", value=reason)
    with database.transaction() as connection:
        sql.waive_reach(connection, version_id, by, reason)
        return _reach(connection, version_id)


def _reach(connection: Connection, version_id: int) -> Reach:
    found = sql.find_reach(connection, version_id)
    if found is None:
        raise NotFound(f"nothing was counted of version {version_id} of the price book", field="version", value=version_id)
    waived = found.waived_by, found.waived_reason, found.waived_at
    return Reach(version_id, found.events, _MODELS.validate_python(found.models), found.counted_at, *waived)


def _suspects(connection: Connection, version_id: int) -> tuple[list[int], date]:
    """The stamps under which something may have changed, and the first local day on which it may have."""
    defaults = defaults_of(connection, version_id)
    stamp_ids: list[int] = []
    first = date.max
    for other in sql.stamped_versions(connection):
        if other == version_id:
            continue
        since = differing_since(rows_only_in(connection, other, version_id), rows_only_in(connection, version_id, other))
        changed: dict[tuple[str, str | None], datetime | None] = {(provider, model): moment for (provider, model), moment in since.items()}
        changed |= {(provider, None): None for provider in changed_defaults(defaults_of(connection, other), defaults)}
        found = sql.stamps_of(connection, other, list(changed)) if changed else []
        if found:
            stamp_ids += found
            first = min(
                first,
                *(date.min if moment is None or moment.date() <= date.min + _DAY else moment.date() - _DAY for moment in changed.values()),
            )
    return stamp_ids, first
