"""Balance alerts, for reading."""

from datetime import datetime

from core.domain.billing import AlertKind
from core.storage.database import Database
from core.storage.reading import alerts
from core.storage.reading.alerts import Alert
from core.views.paging import LIMIT_DEFAULT, check_page


def list_alerts(
    database: Database,
    *,
    mandate_id: str | None = None,
    kind: AlertKind | None = None,
    since: datetime | None = None,
    waiting: bool = False,
    limit: int = LIMIT_DEFAULT,
    offset: int = 0,
) -> list[Alert]:
    """Alerts of this mandate and kind, recorded at `since` (aware) or later, newest first; None: any.

    With `waiting` only those that are neither published nor withheld.

    Raises:
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    check_page(limit, offset)
    with database.snapshot() as connection:
        return alerts.list_alerts(connection, mandate_id, kind, since, waiting, limit, offset)
