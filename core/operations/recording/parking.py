"""The car park: valid events whose mandate isn't known yet, kept until it is."""

from core.domain.outcome import Outcome
from core.domain.payload import HASH_VERSION
from core.domain.rejection import Reason, Rejection, shown
from core.operations.recording.conflicts import compare
from core.operations.recording.delivery import Delivery, Groups, too_late
from core.operations.recording.work import Work
from core.storage.event_keys import EventKey
from core.storage.parked_events import ParkedEvent, count_parked, find_parked, park_events


def park(work: Work, groups: Groups, reasons: dict[str, str]) -> None:
    """Parks the first delivery of each key that is not parked yet; every other one is a duplicate or a conflict.

    A late event that nobody saw is rejected, and so is what the limits leave no room for (`parked_limit`, replayable).
    """
    if not groups:
        return
    parked = find_parked(work.connection, list(groups))
    for delivery in (d for key, group in groups.items() if key not in parked for d in group):
        if delivery.late:
            delivery.reject(too_late(delivery, work.config.lateness_days))
    new = {key: first for key, group in groups.items() if key not in parked and (first := _first_undecided(group))}
    for key in _without_room(work, list(new)):
        for delivery in (d for d in groups[key] if d.outcome is None):
            delivery.reject(Rejection(Reason.PARKED_LIMIT, f"mandate {shown(key[0])} is unknown and its car park is full"))
        del new[key]
    if new:
        arrived = park_events(work.connection, [_parked(key, delivery, reasons[key[0]]) for key, delivery in new.items()])
        for key in arrived:
            new[key].outcome = Outcome.PARKED
        parked |= find_parked(work.connection, list(new))
    compare(work, groups, {key: event.stored_hash for key, event in parked.items()})


def _first_undecided(group: list[Delivery]) -> Delivery | None:
    return next((d for d in group if d.outcome is None), None)


def _without_room(work: Work, keys: list[EventKey]) -> list[EventKey]:
    """Those of `keys` for which the car park has no room."""
    if not keys:
        return []
    config = work.config
    total, per_mandate = count_parked(work.connection, sorted({key[0] for key in keys}), config.parked_limit_per_mandate, config.parked_limit_total)
    refused = []
    for key in keys:
        if total >= config.parked_limit_total or per_mandate[key[0]] >= config.parked_limit_per_mandate:
            refused.append(key)
        else:
            total += 1
            per_mandate[key[0]] += 1
    return refused


def _parked(key: EventKey, delivery: Delivery, reason: str) -> ParkedEvent:
    raw = delivery.raw
    return ParkedEvent(key, delivery.payload_hash, HASH_VERSION, raw.body, raw.typed_json, raw.origin, reason)
