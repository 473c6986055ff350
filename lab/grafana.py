"""The Grafana dashboard of `deploy/grafana`: its panels as a list, made into Grafana's JSON by `python -m lab.docs`.

Gauges out of the books and the broker are the same from every worker: `max`. Counters are each worker's own: `sum`.
"""

import json
from dataclasses import dataclass, field
from typing import Any

WIDTH = 24  # columns of Grafana's grid
_SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: what it asks, each query with the legend of its lines."""

    title: str
    queries: dict[str, str]  # expression -> legend
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    red_above: float | None = None
    description: str = ""
    height: int = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and what is below it."""

    title: str
    panels: list[Panel] = field(default_factory=list)


def _stat(title: str, expression: str, unit: str = "short", *, red_above: float | None = None, description: str = "") -> Panel:
    return Panel(title, {expression: ""}, unit, "stat", 3, red_above, description, 4)


ROWS = [
    Row(
        "At a glance",
        [
            _stat("Events per second", "sum(rate(tollbook_events_total[1m]))", "ops"),
            _stat("Messages waiting", 'sum(max by (queue) (tollbook_queue_messages{queue=~"usage|usage[.]json"}))', red_above=10_000),
            _stat("Latest commit", "time() - max(tollbook_last_commit_timestamp_seconds)", "s", description="How long ago something was recorded."),
            _stat("Workers", "count(tollbook_worker_info)"),
            _stat("Broken invariants", "sum(max by (invariant) (tollbook_invariant_violations)) or vector(0)", red_above=0),
            _stat("Open dead letters", "sum(max by (reason) (tollbook_open_dead_letters)) or vector(0)", red_above=0),
            _stat("Parked", "sum(max by (reason) (tollbook_parked_events)) or vector(0)", red_above=1_000),
            _stat("Producers' gaps", "max(tollbook_producer_gaps) or vector(0)", red_above=0),
        ],
    ),
    Row(
        "Recording",
        [
            Panel("Events by outcome", {"sum by (outcome) (rate(tollbook_events_total[1m]))": "{{outcome}}"}, "ops"),
            Panel("Messages waiting by queue", {"max by (queue) (tollbook_queue_messages)": "{{queue}}"}),
            Panel(
                "How late",
                {
                    "max(tollbook_recording_lag_seconds)": "recorded after it happened",
                    "max by (queue) (tollbook_queue_oldest_seconds)": "oldest in {{queue}}",
                },
                "s",
            ),
            Panel(
                "A batch, from its bytes to its commit",
                {
                    "histogram_quantile(0.5, sum by (le) (rate(tollbook_batch_seconds_bucket[5m])))": "half",
                    "histogram_quantile(0.99, sum by (le) (rate(tollbook_batch_seconds_bucket[5m])))": "99 of 100",
                },
                "s",
            ),
            Panel("Pumps by state", {"sum by (state) (tollbook_intake_state)": "{{state}}"}),
            Panel(
                "Messages in hand, retries",
                {"sum(tollbook_intake_held_messages)": "in hand", "sum(rate(tollbook_intake_retries_total[5m]))": "retries per second"},
            ),
        ],
    ),
    Row(
        "What waits for somebody",
        [
            Panel("Refused, by reason", {"sum by (reason) (increase(tollbook_dead_letters_total[15m]))": "{{reason}}"}),
            Panel("Open dead letters", {"max by (reason) (tollbook_open_dead_letters)": "{{reason}}"}),
            Panel("Parked, the oldest", {"max by (reason) (tollbook_parked_oldest_seconds)": "{{reason}}"}, "s"),
            Panel(
                "Suspense: usage without a price",
                {"max(tollbook_suspense_events)": "events", "max(tollbook_suspense_oldest_seconds)": "oldest, seconds"},
            ),
            Panel(
                "Producers' gaps",
                {"max(tollbook_producer_gaps)": "gaps", "max(tollbook_producer_gap_oldest_seconds)": "oldest, seconds"},
            ),
            Panel("Messages where nobody reads", {"max(tollbook_foreign_messages)": "messages", "max(tollbook_foreign_lists)": "lists"}),
        ],
    ),
    Row(
        "Balances, holds, caps",
        [
            Panel(
                "Accounts",
                {"max(tollbook_accounts_below_threshold)": "below their threshold", "max(tollbook_accounts_below_zero)": "below zero"},
            ),
            Panel("Held", {"max(tollbook_held_chf)": "CHF", "max(tollbook_open_holds)": "open holds"}),
            Panel("Caps that are reached", {"max(tollbook_caps_reached)": "caps"}),
            Panel("Checks", {"sum by (answer) (rate(tollbook_checks_total[1m]))": "{{answer}}"}, "ops"),
            Panel("Authorisations", {"sum by (answer) (rate(tollbook_holds_total[1m]))": "{{answer}}"}, "ops"),
            Panel(
                "How long an answer takes, 99 of 100",
                {
                    "histogram_quantile(0.99, sum by (le) (rate(tollbook_check_seconds_bucket[5m])))": "check",
                    "histogram_quantile(0.99, sum by (le) (rate(tollbook_hold_seconds_bucket[5m])))": "authorise",
                },
                "s",
            ),
            Panel("Usage under holds", {"sum by (how) (rate(tollbook_hold_events_total[5m]))": "{{how}}"}, "ops"),
            Panel(
                "Holds that ended by the clock",
                {"sum(rate(tollbook_holds_expired_total[5m]))": "per second", "max(tollbook_holds_overdue_seconds)": "not settled for, seconds"},
            ),
            Panel(
                "Alerts waiting", {"max(tollbook_alerts_waiting)": "of balances and caps", "max(tollbook_outcomes_waiting)": "refusals for producers"}
            ),
        ],
    ),
    Row(
        "Jobs",
        [
            Panel("Since a job was last done", {"max by (exported_job) (tollbook_job_age_seconds)": "{{exported_job}}"}, "s", width=12),
            Panel("Jobs that fail", {"max by (exported_job) (tollbook_job_failed)": "{{exported_job}}"}, width=6),
            Panel("Statistics lag", {"max(tollbook_rollup_pending_seconds)": "seconds"}, "s", width=6),
        ],
    ),
]


def dashboard() -> str:
    """The dashboard as Grafana imports it; which Prometheus it asks is chosen there."""
    made: dict[str, Any] = {
        "uid": "tollbook",
        "title": "Tollbook",
        "tags": ["tollbook"],
        "timezone": "browser",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}]},
        "panels": _panels(),
    }
    return json.dumps(made, indent=2) + "\n"


def _panels() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        made.append({"id": len(made) + 1, "type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": _place(0, top, WIDTH, 1)})
        left, top = 0, top + 1
        for panel in row.panels:
            if left + panel.width > WIDTH:
                left, top = 0, top + panel.height
            made.append({"id": len(made) + 1, **_panel(panel), "gridPos": _place(left, top, panel.width, panel.height)})
            left += panel.width
        top += row.panels[-1].height
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above + 1})
    single = panel.kind == "stat"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background" if panel.red_above is not None else "value"}
        if single
        else {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": _SOURCE, "expr": expression, "legendFormat": legend, "instant": single}
            for n, (expression, legend) in enumerate(panel.queries.items())
        ],
    }


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}
