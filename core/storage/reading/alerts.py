"""SQL that shows balance alerts."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.domain.billing import AlertKind

_LIST = text("""
    SELECT a.id, a.mandate_id, a.account_id, c.account_type, c.user_id, a.kind, a.recovered, a.balance_before, a.balance_after, a.threshold,
           a.settings_version, a.batch_id, a.recorded_at, a.published_at, a.withheld_at
      FROM balance_alerts a
      LEFT JOIN accounts c ON c.id = a.account_id
     WHERE (CAST(:mandate_ids AS text[]) IS NULL OR a.mandate_id = ANY(CAST(:mandate_ids AS text[])))
       AND a.kind = ANY(:kinds)
       AND (CAST(:since AS timestamptz) IS NULL OR a.recorded_at >= :since)
       AND (NOT :waiting OR (a.published_at IS NULL AND a.withheld_at IS NULL))
     ORDER BY a.id DESC LIMIT :limit OFFSET :offset
""")


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
    connection: Connection, mandate_ids: list[str] | None, kind: AlertKind | None, since: datetime | None, waiting: bool, limit: int, offset: int
) -> list[Alert]:
    """Alerts of these mandates and this kind, recorded since then, newest first; None: any. With `waiting` only those still to be published."""
    kinds = [k.value for k in ([kind] if kind else AlertKind)]
    parameters = {"mandate_ids": mandate_ids, "kinds": kinds, "since": since, "waiting": waiting, "limit": limit, "offset": offset}
    return [Alert(*row) for row in connection.execute(_LIST, parameters)]
