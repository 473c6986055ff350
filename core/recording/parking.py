"""The car park: valid events whose mandate isn't known yet, kept until it is."""

from collections.abc import Container

from core.events.outcome import Outcome
from core.events.payload import HASH_VERSION
from core.ledger.sql.event_keys import EventKey, StoredHash, find_keys
from core.printable import shown
from core.recording.delivery import Delivery, Groups
from core.recording.sql.parked_events import ParkedEvent, count_parked, find_parked, park_events, take_parked
from core.recording.work import Work
from core.rejection import Reason, Rejection


def park(work: Work, groups: Groups, new: dict[EventKey, Delivery], reasons: dict[str, str]) -> dict[EventKey, StoredHash]:
    """Parks each of `new`, the first deliveries of keys under which nothing was found, and tells what stands there by now.

    What the limits leave no room for is rejected (`parked_limit`, replayable). Of events that come in the same moment in several
    transactions, all of them parked or some of them recorded, one is accepted.
    """
    refused = _without_room(work, list(new))
    for key in refused:
        for delivery in (d for d in groups[key] if d.outcome is None):
            delivery.reject(Rejection(Reason.PARKED_LIMIT, f"mandate {shown(key[0])} is unknown and its car park is full"))
    coming = {key: delivery for key, delivery in new.items() if key not in refused}
    if not coming:
        return {}
    arrived = park_events(work.connection, [_parked(key, delivery, reasons[key[0]]) for key, delivery in coming.items()])
    parked_before = [key for key in coming if key not in arrived]
    found = {key: event.stored_hash for key, event in find_parked(work.connection, parked_before).items()} if parked_before else {}
    recorded = find_keys(work.connection, [key for key in coming if key not in found])  # by somebody to whom the mandate was known sooner
    if taken_back := [key for key in recorded if key in arrived]:
        take_parked(work.connection, taken_back)
    for key in arrived - recorded.keys():
        coming[key].outcome = Outcome.PARKED
        found[key] = StoredHash(coming[key].payload_hash, HASH_VERSION)
    return found | recorded


def leave_to_others(work: Work, deliveries: list[Delivery], unknown: Container[str] = ()) -> list[Delivery]:
    """Takes the rows of parked events away, and gives back those whose rows were there; the others are left to whoever has taken them.

    So are those of mandates that are `unknown` once more.
    """
    taken = take_parked(work.connection, [d.key for d in deliveries if d.key[0] not in unknown])
    for delivery in deliveries:
        delivery.left = delivery.key not in taken
    return [d for d in deliveries if not d.left]


def _without_room(work: Work, keys: list[EventKey]) -> set[EventKey]:
    """Those of `keys` for which the car park has no room.

    Batches that park in the same moment don't see each other, so each of them may take the last room.
    """
    if not keys:
        return set()
    config = work.config
    total, per_mandate = count_parked(work.connection, {key[0] for key in keys})
    refused = set()
    for key in keys:
        if total >= config.parked_limit_total or per_mandate[key[0]] >= config.parked_limit_per_mandate:
            refused.add(key)
        else:
            total += 1
            per_mandate[key[0]] += 1
    return refused


def _parked(key: EventKey, delivery: Delivery, reason: str) -> ParkedEvent:
    raw = delivery.raw
    return ParkedEvent(key, delivery.payload_hash, HASH_VERSION, raw.body, raw.typed_json, raw.origin, reason)
