"""SQL of the alerts' outbox: which alerts wait to be published, and what became of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, text

from core.database.locks import Lock, hold, try_hold
from core.database.zones import local_day

_IS_WAITING = "published_at IS NULL AND withheld_at IS NULL"

# Ids become visible out of order, so that nothing is remembered but the rows themselves.
_WAITING = text(f"""
    SELECT a.id AS alert_id, a.mandate_id, a.account_id, c.account_type, c.user_id, a.kind, a.recovered, a.balance_before, a.balance_after,
           a.threshold, a.recorded_at, s.notification_emails, s.notify_on_warning
      FROM balance_alerts a
      JOIN accounts c ON c.id = a.account_id
      JOIN billing_settings s ON s.mandate_id = a.mandate_id
     WHERE {_IS_WAITING}
     ORDER BY a.id LIMIT :alerts_max
""")
_WAITING_OF_CAPS = text(f"""
    SELECT a.id AS alert_id, a.mandate_id, a.cap_id, c.scope, nullif(a.user_id, '') AS user_id, nullif(c.dimension, '') AS dimension,
           nullif(c.value, '') AS value, c.period, a.window_start, c.action, a.share, a.recovered, a.spent_before, a.spent_after, a.threshold,
           a.limit_chf, a.recorded_at, s.notification_emails, s.notify_on_warning
      FROM cap_alerts a
      JOIN caps c ON c.id = a.cap_id
      JOIN billing_settings s ON s.mandate_id = a.mandate_id
     WHERE {_IS_WAITING}
     ORDER BY a.id LIMIT :alerts_max
""")

# The ids of both kinds are out of one sequence: each alert is found in one of the tables.
_TABLES = ("balance_alerts", "cap_alerts")
_PUBLISHED = [text(f"UPDATE {table} SET published_at = clock_timestamp() WHERE id = ANY(:ids)") for table in _TABLES]
_WITHHELD = [text(f"UPDATE {table} SET withheld_at = clock_timestamp() WHERE id = ANY(:ids)") for table in _TABLES]
_WITHHOLD_ALL = [text(f"UPDATE {table} SET withheld_at = clock_timestamp() WHERE {_IS_WAITING} AND recorded_at < :until") for table in _TABLES]

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

# Of each present cap: the shares that are reached in windows that aren't over.
_WAIT_AGAIN_OF_CAPS = text(f"""
    UPDATE cap_alerts w SET withheld_at = NULL
      FROM caps c JOIN cap_counters k ON k.cap_id = c.id JOIN billing_settings s ON s.mandate_id = c.mandate_id
     WHERE c.mandate_id = :mandate_id AND c.removed_at IS NULL AND w.mandate_id = :mandate_id AND NOT w.recovered
       AND (w.cap_id, w.user_id, w.window_start) = (k.cap_id, k.user_id, k.window_start) AND w.share = ANY(c.shares)
       AND w.withheld_at IS NOT NULL AND w.published_at IS NULL AND k.spent >= c.limit_chf * w.share / 100
       AND CASE c.period WHEN 'DAY' THEN k.window_start + 1 WHEN 'WEEK' THEN k.window_start + 7
                         WHEN 'MONTH' THEN CAST(k.window_start + interval '1 month' AS date) ELSE 'infinity' END
           > {local_day("clock_timestamp()", "s.time_zone")}
""")

COUNTED_MAX = 100_000  # so that a queue that stays full costs no count of millions every few seconds

_COUNT = text(f"""
    SELECT (SELECT count(*) FROM (SELECT FROM balance_alerts WHERE {_IS_WAITING}
                                  UNION ALL
                                  SELECT FROM cap_alerts WHERE {_IS_WAITING} LIMIT :counted_max) AS counted) AS alerts,
           coalesce((SELECT extract(epoch FROM clock_timestamp() - recorded_at)
                       FROM ((SELECT id, recorded_at FROM balance_alerts WHERE {_IS_WAITING} ORDER BY id LIMIT 1)
                             UNION ALL
                             (SELECT id, recorded_at FROM cap_alerts WHERE {_IS_WAITING} ORDER BY id LIMIT 1)) AS first
                      ORDER BY id LIMIT 1), 0) AS oldest_seconds
""")


class WaitingAlert(NamedTuple):
    """An alert, of a balance or of a cap, that is to be published, if its mandate wants that; `fields` are those of its message."""

    id: int
    wanted: bool
    of_cap: bool
    fields: dict[str, Any]


def try_hold_outbox(connection: Connection) -> bool:
    """Whether the outbox is this transaction's alone until it ends; if not, somebody else is at it."""
    return try_hold(connection, Lock.ALERT_OUTBOX)


def waiting_alerts(connection: Connection, alerts_max: int) -> list[WaitingAlert]:
    """The oldest alerts that wait, of balances and of caps, by id."""
    found = []
    for statement, of_cap in ((_WAITING, False), (_WAITING_OF_CAPS, True)):
        for row in connection.execute(statement, {"alerts_max": alerts_max}).mappings():
            fields = dict(row)
            found.append(WaitingAlert(row["alert_id"], fields.pop("notify_on_warning"), of_cap, fields))
    return sorted(found, key=lambda alert: alert.id)[:alerts_max]


def mark_published(connection: Connection, alerts: Sequence[WaitingAlert]) -> None:
    """The broker has these."""
    _mark(connection, _PUBLISHED, alerts)


def mark_withheld(connection: Connection, alerts: Sequence[WaitingAlert]) -> None:
    """These are recorded and never published."""
    _mark(connection, _WITHHELD, alerts)


def _mark(connection: Connection, statements: Sequence[TextClause], alerts: Sequence[WaitingAlert]) -> None:
    for statement, of_cap in zip(statements, (False, True), strict=True):
        if ids := [alert.id for alert in alerts if alert.of_cap is of_cap]:
            connection.execute(statement, {"ids": ids})


def hold_outbox(connection: Connection) -> None:
    """The outbox is this transaction's alone until it ends; waits for whoever publishes right now. Before any other lock."""
    hold(connection, Lock.ALERT_OUTBOX)


def wait_again(connection: Connection, mandate_id: str) -> int:
    """The lines that accounts of the mandate are beyond, and the shares of its caps that are reached, wait to be told, where they were withheld.

    Of a cap the shares of its latest windows. Returns how many alerts; the outbox is held.
    """
    return sum(connection.execute(statement, {"mandate_id": mandate_id}).rowcount for statement in (_WAIT_AGAIN, _WAIT_AGAIN_OF_CAPS))


def withhold_all(connection: Connection, until: datetime) -> int:
    """What waits and was recorded before `until` is never published; returns how many. Waits for whoever publishes right now."""
    hold_outbox(connection)
    return sum(connection.execute(statement, {"until": until}).rowcount for statement in _WITHHOLD_ALL)


def count_waiting(connection: Connection) -> tuple[int, float]:
    """How many alerts wait, counted up to 100,000, and the age in seconds of the one with the lowest id (0 if none waits)."""
    row = connection.execute(_COUNT, {"counted_max": COUNTED_MAX}).one()
    return row.alerts, float(row.oldest_seconds)
