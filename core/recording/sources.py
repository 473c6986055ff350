"""CloudEvents whose id is unique only within their source, where these books know them by both."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from core.billing import CloudEventKey
from core.events.model import SOURCE_LENGTH_MAX, UsageEvent
from core.events.payload import payload_hash
from core.recording.delivery import Delivery
from core.recording.sql.cloud_events import shared_cloud_event_key
from core.rejection import Reason, Rejection

_NO_SOURCE = f"source is missing, longer than {SOURCE_LENGTH_MAX} characters or no URI reference: these books know a CloudEvent by its source and id"


def name_by_source(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Gives each CloudEvent the key that it has in these books; one that lacks a source which is part of it is rejected.

    What the key is made of can't change before the transaction ends. Batches without a CloudEvent ask nobody.
    """
    cloud_events = [d for d in deliveries if d.event is not None and d.event.source is not None]
    if not cloud_events or shared_cloud_event_key(connection) is CloudEventKey.ID:
        return
    for delivery in cloud_events:
        assert delivery.event is not None
        if delivery.event.source:
            delivery.event = _named(delivery.event)
            delivery.key, delivery.payload_hash = (delivery.event.mandate_id, delivery.event.event_id), payload_hash(delivery.event)
        else:
            rejection = Rejection(Reason.INVALID_FIELD, _NO_SOURCE)
            rejection.mandate_id, rejection.event_id = delivery.key
            call = delivery.event.call
            if call is not None and call.producer_id is not None and call.producer_seq is not None:
                rejection.numbered = call.producer_id, call.producer_seq
            delivery.event = None
            delivery.reject(rejection)


def as_known(connection: Connection, event: UsageEvent) -> UsageEvent:
    """The event with the id that it has in these books."""
    return _named(event) if event.source and shared_cloud_event_key(connection) is CloudEventKey.SOURCE_AND_ID else event


def _named(event: UsageEvent) -> UsageEvent:
    """Under its source and its id: no source has a space in it, so the first one ends it."""
    return msgspec.structs.replace(event, event_id=f"{event.source} {event.event_id}")
