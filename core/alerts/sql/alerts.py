"""SQL that shows alerts of balances, and of caps."""

from core.database.listing import Listing

LIST = Listing(
    "balance_alerts",
    """
    r.id, r.mandate_id, r.account_id, c.account_type, c.user_id, r.kind, r.recovered, r.balance_before, r.balance_after, r.threshold,
    r.settings_version, r.batch_id, r.recorded_at, r.published_at, r.withheld_at
    """,
    ("id",),
    joined="LEFT JOIN LATERAL (SELECT * FROM accounts WHERE id = r.account_id OFFSET 0) AS c ON true",
    conditions={
        "kind": "r.kind = :kind",
        "since": "r.recorded_at >= :since",
        "until": "r.recorded_at < :until",
        "waiting": "r.published_at IS NULL AND r.withheld_at IS NULL",
    },
)

LIST_OF_CAPS = Listing(
    "cap_alerts",
    """
    r.id, r.mandate_id, r.cap_id, c.scope, nullif(r.user_id, '') AS user_id, nullif(c.dimension, '') AS dimension, nullif(c.value, '') AS value,
    c.period, r.window_start, c.action, r.share, r.recovered, r.spent_before, r.spent_after, r.threshold, r.limit_chf, r.batch_id, r.recorded_at,
    r.published_at, r.withheld_at
    """,
    ("id",),
    joined="LEFT JOIN LATERAL (SELECT * FROM caps WHERE id = r.cap_id OFFSET 0) AS c ON true",
    conditions={
        "cap_id": "r.cap_id = :cap_id",
        "since": "r.recorded_at >= :since",
        "until": "r.recorded_at < :until",
        "waiting": "r.published_at IS NULL AND r.withheld_at IS NULL",
    },
)
