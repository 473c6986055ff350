"""SQL that shows dead letters."""

from sqlalchemy import text

from core.database.listing import Listing

LIST = Listing(
    "dead_letters",
    """
    r.id, r.reason, r.detail, r.status, r.mandate_id, r.event_id, r.origin, r.body_length, r.attempts, r.first_seen_at, r.last_seen_at,
    coalesce(r.last_seen_at > r.resolved_at, false) AS seen_again
    """,
    ("id",),
    conditions={
        "reason": "r.reason = :reason",
        "status": "r.status = :status",
        "since": "r.last_seen_at >= :since",
        "until": "r.last_seen_at < :until",
        "seen_again": "r.last_seen_at > r.resolved_at",
    },
)

FIND = text("""
    SELECT id, reason, detail, status, mandate_id, event_id, origin, body_length, attempts, first_seen_at, last_seen_at,
           coalesce(last_seen_at > resolved_at, false) AS seen_again, body, octet_length(body) < body_length AS body_truncated,
           encode(body_sha256, 'hex') AS body_sha256, typed_json, difference, batch_id, resolved_at, resolved_by, resolution, corrected_body
      FROM dead_letters WHERE id = :dead_letter_id
""")

OVERFLOW = text("""
    SELECT queue, reason, letters, bytes, encode(last_sha256, 'hex') AS last_sha256, first_seen_at, last_seen_at
      FROM dead_letter_overflow ORDER BY queue, reason
""")

KEPT = text("SELECT queue, letters, bytes FROM dead_letter_counts ORDER BY queue")
