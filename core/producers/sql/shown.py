"""SQL that shows producers, and what is missing of them."""

from sqlalchemy import text

from core.database.listing import Listing

_RANGES_MAX = 10  # of one producer in a list of many

LIST = Listing(
    "producers",
    """
    r.producer_id, r.highest, g.missing_ranges, g.missing_events, g.missing, g.missing_since,
    CAST(extract(epoch FROM clock_timestamp() - g.missing_since) AS bigint) AS missing_seconds, r.untracked_from, r.first_seen_at, r.last_seen_at
    """,
    ("producer_id",),
    joined=f"""
        CROSS JOIN LATERAL (
            SELECT count(*) AS missing_ranges, coalesce(sum(o.last_seq - o.first_seq + 1), 0) AS missing_events, min(o.since) AS missing_since,
                   coalesce(jsonb_agg(jsonb_build_array(o.first_seq, o.last_seq) ORDER BY o.first_seq) FILTER (WHERE o.place <= {_RANGES_MAX}), '[]')
                   AS missing
              FROM (SELECT *, row_number() OVER (ORDER BY first_seq) AS place FROM producer_gaps WHERE producer_id = r.producer_id) AS o
        ) AS g""",
    conditions={"missing": "r.incomplete"},
)

GAPS = Listing(
    "producer_gaps",
    """
    r.first_seq, r.last_seq, r.since, CAST(extract(epoch FROM clock_timestamp() - r.since) AS bigint) AS missing_seconds,
    r.looked_at IS NOT NULL AS is_finding
    """,
    ("producer_id", "first_seq"),
    ascending=True,
    conditions={"producer_id": "r.producer_id = :producer_id"},
)

EXISTS = text("SELECT EXISTS (SELECT FROM producers WHERE producer_id = :producer_id)")
