"""Balance alerts, for reading."""

from collections.abc import Collection
from datetime import datetime

from core.domain.billing import AlertKind
from core.domain.rights import Actor, visible_mandates
from core.storage.database import Database
from core.storage.reading import alerts
from core.storage.reading.alerts import Alert
from core.views.mandates import rows_of_mandates
from core.views.paging import LIMIT_DEFAULT, rows_of


def list_alerts(
    database: Database,
    actor: Actor,
    mandate_ids: Collection[str] | None = None,
    *,
    kind: AlertKind | None = None,
    since: datetime | None = None,
    waiting: bool = False,
    limit: int = LIMIT_DEFAULT,
    offset: int = 0,
    before: int | None = None,
) -> list[Alert]:
    """Alerts of these mandates, or of all that the actor may see, of this kind, recorded at `since` (aware) or later, newest first; None: any.

    With `waiting` only those that are neither published nor withheld; `before` is the id of the last row already seen.

    Raises:
        Forbidden: the actor may not see those of one of the mandates.
        NotFound: there is no such mandate.
        RequestRefused: a limit or offset out of range.
        StorageUnavailable, Misconfigured: the database can't be asked.
    """
    visible = visible_mandates(actor, mandate_ids, "list the alerts")
    page = rows_of(limit, offset, None if before is None else (before,))
    return rows_of_mandates(database, mandate_ids, lambda connection: alerts.list_alerts(connection, visible, kind, since, waiting, page))
