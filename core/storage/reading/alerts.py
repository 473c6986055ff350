"""SQL that shows balance alerts."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.domain.billing import AlertKind
from core.storage.reading.listing import Listing, Rows

_LIST = Listing(
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
        "waiting": "r.published_at IS NULL AND r.withheld_at IS NULL",
    },
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One crossing of a line; amounts in CHF. Neither published nor withheld: it waits."""

    id: int
    mandate_id: str
    account_id: int
    account_type: str | None
    user_id: str | None
    kind: str
    recovered: bool
    balance_before: Decimal
    balance_after: Decimal
    threshold: Decimal
    settings_version: int
    batch_id: int | None
    recorded_at: datetime
    published_at: datetime | None
    withheld_at: datetime | None


def list_alerts(
    connection: Connection, mandate_ids: list[str] | None, kind: AlertKind | None, since: datetime | None, waiting: bool, page: Rows
) -> list[Alert]:
    """Alerts of these mandates and this kind, recorded since then, newest first; None: any. With `waiting` only those still to be published."""
    each = None if mandate_ids is None else {"mandate_id": mandate_ids}
    return [Alert(*row) for row in _LIST.rows(connection, page, each, kind=kind and kind.value, since=since, waiting=waiting)]
