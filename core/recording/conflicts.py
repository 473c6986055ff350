"""A second payload under a known key: what differs, and from what."""

from collections.abc import Mapping

import msgspec

from core.errors import StorageUnavailable
from core.events.model import UsageEvent
from core.events.outcome import Outcome
from core.events.parsing import parse_event
from core.events.payload import PAYLOAD_HASHES, billed_fields, difference
from core.ledger.sql.event_keys import EventKey, StoredHash
from core.ledger.sql.transactions import recorded_events
from core.printable import shown
from core.recording.delivery import Delivery, Groups
from core.recording.sql.parked_events import find_parked
from core.recording.work import Work
from core.rejection import Reason, Rejection

_MOVED = "an event was released from the parked ones in this moment"


def compare(work: Work, groups: Groups, stored: Mapping[EventKey, StoredHash]) -> None:
    """Every delivery still undecided is a copy of the first one under its key, or contradicts it.

    Raises:
        StorageUnavailable: what was first has just moved from the parked events to the recorded ones; try again.
    """
    different = []
    for key, group in groups.items():
        for delivery in (d for d in group if d.outcome is None):
            if key not in stored:
                raise StorageUnavailable(_MOVED)
            if delivery.matches(stored[key]):
                delivery.outcome = Outcome.DUPLICATE
            else:
                different.append(delivery)
    if different:
        first = _first_events(work, groups, stored, {d.key for d in different})
        for delivery in different:
            if delivery.key not in first and stored[delivery.key].transaction_id is None:
                raise StorageUnavailable(_MOVED)
            _decide(delivery, first.get(delivery.key), stored[delivery.key])


def _decide(delivery: Delivery, first: UsageEvent | None, stored: StoredHash) -> None:
    """It becomes a dead letter that tells field by field how it differs from the first one under its key.

    A hash that a newer program wrote can't be computed here; then the fields themselves decide.
    """
    assert delivery.event is not None
    if first is None:
        delivery.outcome, delivery.rejection = Outcome.CONFLICT, Rejection(Reason.CONFLICT, "same event id, other payload; the first is not at hand")
        return
    differing = differing_fields(first, delivery.event, stored)
    if not differing and stored.hash_version not in PAYLOAD_HASHES:
        delivery.outcome = Outcome.DUPLICATE
        return
    sources = ""
    if first.source and delivery.event.source and first.source != delivery.event.source:
        differing["source"] = [first.source, delivery.event.source]
        sources = f"; the first came from {shown(first.source)}, this one from {shown(delivery.event.source)}"
    delivery.outcome, delivery.difference = Outcome.CONFLICT, differing
    delivery.rejection = Rejection(Reason.CONFLICT, f"same event id, other payload: {', '.join(differing)}{sources}")


def differing_fields(first: UsageEvent, other: UsageEvent, stored: StoredHash) -> dict[str, list[object]]:
    """Field by field, under the version of the hash that was used, how what was accepted first differs from another event under its key."""
    version = stored.hash_version if stored.hash_version in PAYLOAD_HASHES else None
    return difference(billed_fields(first, version), billed_fields(other, version))


def _first_events(work: Work, groups: Groups, stored: Mapping[EventKey, StoredHash], keys: set[EventKey]) -> dict[EventKey, UsageEvent]:
    """What was accepted first: in this batch, recorded earlier, or still parked."""
    events: dict[EventKey, UsageEvent] = {}
    for key in keys:
        here = next((d.event for d in groups[key] if d.outcome in (Outcome.RECORDED, Outcome.PARKED)), None)
        if here is not None:
            events[key] = here
    earlier = [found for key in keys if (found := stored[key]).transaction_id is not None]
    if earlier:
        events |= recorded_events(work.connection, earlier)
    parked = [key for key in keys if key not in events]
    if parked:
        there = find_parked(work.connection, parked).items()
        events |= {key: msgspec.structs.replace(parse_event(event.raw), event_id=key[1]) for key, event in there}
    return events
