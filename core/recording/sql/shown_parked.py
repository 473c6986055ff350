"""SQL that shows parked events."""

from core.database.listing import Listing

LIST = Listing(
    "parked_events",
    "r.mandate_id, r.event_id, r.reason, r.origin, r.received_at, octet_length(r.body) AS body_length",
    ("received_at", "mandate_id", "event_id"),
)

# By the counts that are kept, so that it costs a row for each mandate, not for each event.
COUNT = Listing(
    "(SELECT mandate_id, CAST(sum(events) AS bigint) AS events, CAST(-sum(events) AS bigint) AS fewer FROM parked_counts"
    " WHERE mandate_id <> '' GROUP BY mandate_id)",
    "r.mandate_id, r.events, (SELECT min(p.received_at) FROM parked_events p WHERE p.mandate_id = r.mandate_id) AS oldest_received_at",
    ("fewer", "mandate_id"),
    ascending=True,
)
