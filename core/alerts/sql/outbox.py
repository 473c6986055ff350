"""SQL of the alerts' outbox: which alerts wait to be published, and what became of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from core.database.locks import Lock, hold, try_hold

# Ids become visible out of order, so that nothing is remembered but the rows themselves.
_WAITING = text("""
    SELECT a.id AS alert_id, a.mandate_id, a.account_id, c.account_type, c.user_id, a.kind, a.recovered, a.balance_before, a.balance_after,
           a.threshold, a.recorded_at, s.notification_emails, s.notify_on_warning
      FROM balance_alerts a
      JOIN accounts c ON c.id = a.account_id
      JOIN billing_settings s ON s.mandate_id = a.mandate_id
     WHERE a.published_at IS NULL AND a.withheld_at IS NULL
     ORDER BY a.id LIMIT :alerts_max
""")

_PUBLISHED = text("UPDATE balance_alerts SET published_at = clock_timestamp() WHERE id = ANY(:ids)")
_WITHHELD = text("UPDATE balance_alerts SET withheld_at = clock_timestamp() WHERE id = ANY(:ids)")

_WITHHOLD_ALL = text("""
    UPDATE balance_alerts SET withheld_at = clock_timestamp() WHERE published_at IS NULL AND withheld_at IS NULL AND recorded_at < :until
""")

# Of each account that pays: the last alert of a line, where it says crossed. Alerts of before the present model count no more.
_WAIT_AGAIN = text("""
    WITH span AS (
        SELECT coalesce(max(h.version) FILTER (WHERE h.billing_model <> s.billing_model), 0) AS before, s.billing_model
          FROM billing_settings s JOIN billing_settings_history h ON h.mandate_id = s.mandate_id
         WHERE s.mandate_id = :mandate_id GROUP BY s.billing_model
    ), last AS (
        SELECT DISTINCT ON (account_id, kind) id, account_id, recovered, settings_version FROM balance_alerts
         WHERE mandate_id = :mandate_id ORDER BY account_id, kind, id DESC
    )
    UPDATE balance_alerts w SET withheld_at = NULL
      FROM last l JOIN accounts a ON a.id = l.account_id CROSS JOIN span
     WHERE w.id = l.id AND NOT l.recovered AND w.withheld_at IS NOT NULL AND w.published_at IS NULL AND l.settings_version > span.before
       AND (span.billing_model, a.account_type) IN (('PREPAY_USER', 'USER'), ('PREPAY_MANDATE', 'MANDATE'), ('CREDIT_POSTPAY', 'MANDATE'))
""")

COUNTED_MAX = 100_000  # so that a queue that stays full costs no count of millions every few seconds

_COUNT = text("""
    SELECT (SELECT count(*) FROM (SELECT FROM balance_alerts
                                   WHERE published_at IS NULL AND withheld_at IS NULL LIMIT :counted_max) AS counted) AS alerts,
           coalesce((SELECT extract(epoch FROM clock_timestamp() - recorded_at) FROM balance_alerts
                      WHERE published_at IS NULL AND withheld_at IS NULL ORDER BY id LIMIT 1), 0) AS oldest_seconds
""")


class WaitingAlert(NamedTuple):
    """An alert that is to be published, if its mandate wants that; `fields` are those of its message."""

    id: int
    wanted: bool
    fields: dict[str, Any]


def try_hold_outbox(connection: Connection) -> bool:
    """Whether the outbox is this transaction's alone until it ends; if not, somebody else is at it."""
    return try_hold(connection, Lock.ALERT_OUTBOX)


def waiting_alerts(connection: Connection, alerts_max: int) -> list[WaitingAlert]:
    """The oldest alerts that wait, by id."""
    found = [dict(row) for row in connection.execute(_WAITING, {"alerts_max": alerts_max}).mappings()]
    return [WaitingAlert(row["alert_id"], row.pop("notify_on_warning"), row) for row in found]


def mark_published(connection: Connection, alert_ids: Sequence[int]) -> None:
    """The broker has these."""
    connection.execute(_PUBLISHED, {"ids": list(alert_ids)})


def mark_withheld(connection: Connection, alert_ids: Sequence[int]) -> None:
    """These are recorded and never published."""
    connection.execute(_WITHHELD, {"ids": list(alert_ids)})


def hold_outbox(connection: Connection) -> None:
    """The outbox is this transaction's alone until it ends; waits for whoever publishes right now. Before any other lock."""
    hold(connection, Lock.ALERT_OUTBOX)


def wait_again(connection: Connection, mandate_id: str) -> int:
    """The lines that accounts of the mandate are beyond wait to be told, where they were withheld; returns how many. The outbox is held."""
    return connection.execute(_WAIT_AGAIN, {"mandate_id": mandate_id}).rowcount


def withhold_all(connection: Connection, until: datetime) -> int:
    """What waits and was recorded before `until` is never published; returns how many. Waits for whoever publishes right now."""
    hold_outbox(connection)
    return connection.execute(_WITHHOLD_ALL, {"until": until}).rowcount


def count_waiting(connection: Connection) -> tuple[int, float]:
    """How many alerts wait, counted up to 100,000, and the age in seconds of the one with the lowest id (0 if none waits)."""
    row = connection.execute(_COUNT, {"counted_max": COUNTED_MAX}).one()
    return row.alerts, float(row.oldest_seconds)
