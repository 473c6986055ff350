"""A second payload under a known key: what differs, and from what."""

from collections.abc import Mapping

from core.domain.outcome import Outcome
from core.domain.parsing import parse_event
from core.domain.payload import billed_fields, difference
from core.domain.rejection import Reason, Rejection
from core.operations.recording.delivery import Delivery, Groups
from core.operations.recording.work import Work
from core.storage.event_keys import EventKey, StoredHash
from core.storage.parked_events import find_parked
from core.storage.transactions import recorded_fields


def compare(work: Work, groups: Groups, stored: Mapping[EventKey, StoredHash]) -> None:
    """Every delivery still undecided is a copy of the first one under its key, or contradicts it."""
    conflicts = []
    for key, group in groups.items():
        for delivery in group:
            if delivery.outcome is None:
                if delivery.matches(stored[key]):
                    delivery.outcome = Outcome.DUPLICATE
                else:
                    conflicts.append(delivery)
    if conflicts:
        first = _first_fields(work, groups, stored, {d.key for d in conflicts})
        for delivery in conflicts:
            _mark(delivery, first[delivery.key])


def _mark(delivery: Delivery, first: dict[str, object]) -> None:
    """It becomes a dead letter that tells field by field how it differs from the first one under its key."""
    assert delivery.event is not None
    delivery.outcome = Outcome.CONFLICT
    delivery.difference = difference(first, billed_fields(delivery.event))
    delivery.rejection = Rejection(Reason.CONFLICT, f"same event id, other payload: {', '.join(delivery.difference)}")


def _first_fields(work: Work, groups: Groups, stored: Mapping[EventKey, StoredHash], keys: set[EventKey]) -> dict[EventKey, dict[str, object]]:
    """The billed fields of what was accepted first: in this batch, recorded earlier, or still parked."""
    fields: dict[EventKey, dict[str, object]] = {}
    for key in keys:
        here = next((d.event for d in groups[key] if d.outcome in (Outcome.RECORDED, Outcome.PARKED)), None)
        if here is not None:
            fields[key] = billed_fields(here)
    earlier = [found for key in keys if (found := stored[key]).transaction_id is not None]
    if earlier:
        fields |= recorded_fields(work.connection, earlier)
    parked = [key for key in keys if key not in fields]
    if parked:
        fields |= {key: billed_fields(parse_event(event.raw)) for key, event in find_parked(work.connection, parked).items()}
    return fields
