"""Every labelled counter tells 0 from the start for each label that it may ever have: an increase from nothing is none to Prometheus."""

from collections.abc import Iterable, Mapping
from itertools import product

from celery import Celery
from prometheus_client import Counter

from core import metrics
from core.billing import HoldState
from core.checks.model import Refusal
from core.events.outcome import Outcome
from core.holds.capture import HOW
from core.prices.model import Mode, UnpricedReason
from core.rejection import Reason
from tasks.answer import ANSWER_KINDS, AnsweringTask

Labels = Iterable[tuple[str, ...]]

CLOSED: Mapping[Counter, Labels] = {
    metrics.EVENTS: [(outcome.value,) for outcome in Outcome],
    metrics.DEAD_LETTERS: [(reason.value,) for reason in Reason],
    metrics.DEAD_LETTERS_WITHOUT_ROOM: [(reason.value,) for reason in Reason],
    metrics.UNPRICED: [(mode.value, reason.value) for mode, reason in product(Mode, UnpricedReason)],
    metrics.HOLDS: [(answer,) for answer in ("allowed", "conflict", *Refusal, *(state for state in HoldState if state is not HoldState.OPEN))],
    metrics.HOLD_EVENTS: [(how,) for how in HOW],
    metrics.ALERTS: [("published",), ("withheld",)],
    metrics.OUTCOMES_TOLD: [("published",), ("withheld",)],
    metrics.CHECKS: [(answer,) for answer in ("allowed", *Refusal)],
}


def closed_labels(app: Celery) -> dict[Counter, Labels]:
    """The labels of each labelled counter, those of requests by the app's tasks."""
    tasks = sorted(name for name, task in app.tasks.items() if isinstance(task, AnsweringTask))
    return {**CLOSED, metrics.REQUESTS: product(tasks, ANSWER_KINDS)}


def count_from_zero(app: Celery) -> None:
    """Makes each of them; repeatable."""
    for counter, labels in closed_labels(app).items():
        for values in labels:
            counter.labels(*map(str, values))
