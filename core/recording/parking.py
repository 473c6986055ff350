"""The car park: valid events whose mandate isn't known yet, or which can't be priced yet, kept until they can be recorded."""

from collections.abc import Container
from dataclasses import replace

from core.events.outcome import Outcome
from core.ledger.sql.event_keys import EventKey, StoredHash, find_keys
from core.printable import shown
from core.recording.delivery import Delivery, Groups
from core.recording.pricing import is_suspended
from core.recording.sql.parked_events import ParkedEvent, count_parked, find_parked, park_events, put_back, take_parked
from core.recording.work import Work
from core.rejection import Reason, Rejection


def park(work: Work, groups: Groups, new: dict[EventKey, Delivery], reasons: dict[EventKey, str]) -> dict[EventKey, StoredHash]:
    """Parks each of `new`, the first deliveries of keys under which nothing was found, and tells what stands there by now.

    What the limits leave no room for is rejected (`parked_limit`, replayable). Of events that come in the same moment in several
    transactions one is accepted. Only where somebody else records it at once, to whom its mandate is known already, and neither has
    committed, both are: the release finds the parked one a duplicate, or a conflict.
    """
    refused = _without_room(work, new)
    for key, full in refused.items():
        for delivery in (d for d in groups[key] if d.outcome is None):
            delivery.reject(Rejection(Reason.PARKED_LIMIT, full))
    coming = {key: delivery for key, delivery in new.items() if key not in refused}
    if not coming:
        return {}
    arrived = park_events(work.connection, [_parked(work, key, delivery, reasons[key]) for key, delivery in coming.items()])
    parked_before = [key for key in coming if key not in arrived]
    found = {key: event.stored_hash for key, event in find_parked(work.connection, parked_before).items()} if parked_before else {}
    recorded = find_keys(work.connection, [key for key in coming if key not in found])  # by somebody to whom the mandate was known sooner
    if taken_back := [key for key in recorded if key in arrived]:
        take_parked(work.connection, taken_back)
    for key in arrived - recorded.keys():
        coming[key].outcome, coming[key].parked_for = Outcome.PARKED, reasons[key]
        found[key] = coming[key].stored_hash
    return found | recorded


def leave_to_others(work: Work, deliveries: list[Delivery], unknown: Container[str] = (), stored: Container[EventKey] = ()) -> list[Delivery]:
    """Takes the rows of parked events away, and gives back those whose rows were there; the others are left to whoever has taken them.

    So are those of mandates that are `unknown` once more. Those that can't be priced, and aren't `stored` otherwise, are put back with
    their time of receipt, and wait for the next change of prices.
    """
    taken = take_parked(work.connection, [d.key for d in deliveries if d.key[0] not in unknown])
    waiting = [d for d in deliveries if d.key in taken and is_suspended(d) and d.key not in stored]
    if waiting:
        put_back(work.connection, [(taken[d.key], _parked(work, d.key, d, reason_of(d))) for d in waiting])
    still_parked = {d.key for d in waiting}
    for delivery in deliveries:
        delivery.left = delivery.key not in taken or delivery.key in still_parked
        delivery.parked_at = None if delivery.left else taken[delivery.key].received_at
    return [d for d in deliveries if not d.left]


def reason_of(delivery: Delivery) -> str:
    """Why an event that has no price is parked."""
    assert delivery.pricing is not None
    assert delivery.pricing.unpriced is not None
    return delivery.pricing.unpriced.reason.value


def _without_room(work: Work, new: dict[EventKey, Delivery]) -> dict[EventKey, str]:
    """Those of the events for which the car park, or the part of it for what can't be priced, has no room; and what to say of it.

    Batches that park in the same moment don't see each other, so each of them may take the last room.
    """
    if not new:
        return {}
    config = work.config
    total, per_mandate = count_parked(work.connection, {key[0] for key in new})
    limits = {
        False: (config.parked_limit_total, config.parked_limit_per_mandate),
        True: (config.suspense_limit_total, config.suspense_limit_per_mandate),
    }
    refused = {}
    for key, delivery in new.items():
        suspended = is_suspended(delivery)
        in_total, in_mandate = limits[suspended]
        if total[suspended] >= in_total or per_mandate[key[0]][suspended] >= in_mandate:
            full = "has usage without a price, and there is no room for more" if suspended else "is unknown and its car park is full"
            refused[key] = f"mandate {shown(key[0])} {full}"
        else:
            total[suspended] += 1
            per_mandate[key[0]][suspended] += 1
    return refused


def _parked(work: Work, key: EventKey, delivery: Delivery, reason: str) -> ParkedEvent:
    raw, stored = delivery.raw, delivery.stored_hash
    priced_under = max(1, work.prices.revision) if is_suspended(delivery) else 0
    kept = ParkedEvent(key, stored.payload_hash, stored.hash_version, raw.body, raw.typed_json, raw.origin, reason, priced_under)
    event = delivery.event
    if event is None or event.call is None or event.call.hold_key is None:
        return kept
    return replace(kept, hold_key=event.call.hold_key, hold_user_id=event.user_id)
