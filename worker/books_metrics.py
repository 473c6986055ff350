"""Metrics of the books, and of the schedule: read at a scrape, so that every worker tells the same, whichever did the work."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.asking.rights import ROOT
from core.database.database import database
from core.errors import TollbookError
from core.watching.read import Condition, condition
from worker.refreshed import EVERY_SECONDS, Refreshed

log = structlog.get_logger()

Samples = Iterable[tuple[str | None, float | None]]  # the value of the label, if there is one, and that of the metric; None: it isn't told


class Told(NamedTuple):
    """A metric, and what of the condition it is."""

    name: str
    help: str
    label: str | None
    samples: Callable[[Condition], Samples]

    def family(self) -> GaugeMetricFamily:
        """The metric without values."""
        return GaugeMetricFamily(self.name, self.help, labels=[self.label] if self.label else [])


def _one(name: str, text: str, value: Callable[[Condition], float | None]) -> Told:
    return Told(name, text, None, lambda found: [(None, value(found))])


_FROM = "counted up to 10,000"
TOLD = (
    Told("tollbook_job_age_seconds", "Time since the job was last done, in seconds.", "job", lambda c: ((j.job, j.age_seconds) for j in c.jobs)),
    Told("tollbook_job_failed", "1 if the latest run of the job failed.", "job", lambda c: ((j.job, float(j.failed)) for j in c.jobs)),
    _one("tollbook_rollup_pending_batches", "Batches that the statistics lack.", lambda c: c.rollup.pending_batches),
    _one(
        "tollbook_rollup_pending_seconds",
        "How long the oldest of them has waited, in seconds; 0 where none does.",
        lambda c: c.rollup.oldest_seconds,
    ),
    Told("tollbook_invariant_violations", "Violations that the latest reconciliation counted.", "invariant", lambda c: c.violations.items()),
    Told("tollbook_parked_events", f"Parked events by reason, {_FROM}.", "reason", lambda c: ((one.reason, one.number) for one in c.parked)),
    Told(
        "tollbook_parked_oldest_seconds",
        "How long the oldest of them has been parked, in seconds.",
        "reason",
        lambda c: ((one.reason, one.oldest_seconds) for one in c.parked),
    ),
    _one("tollbook_suspense_events", "Parked events that wait for a price.", lambda c: c.suspense_events),
    _one(
        "tollbook_suspense_oldest_seconds", "How long the oldest of them has waited, in seconds; 0 without any.", lambda c: c.suspense_oldest_seconds
    ),
    Told(
        "tollbook_open_dead_letters",
        f"Open dead letters by reason, {_FROM}.",
        "reason",
        lambda c: ((one.reason, one.number) for one in c.open_letters),
    ),
    _one(
        "tollbook_last_commit_timestamp_seconds",
        "When a batch of deliveries was last committed, in Unix time; absent where none ever was.",
        lambda c: None if c.last_commit is None else c.last_commit.timestamp(),
    ),
    _one(
        "tollbook_recording_lag_seconds",
        "How long after it happened usage was recorded, in seconds: the median of the latest batches; absent where nothing came for ten minutes.",
        lambda c: c.lag_seconds,
    ),
    _one("tollbook_accounts_below_threshold", f"Paying accounts at or below their warning line, {_FROM}.", lambda c: c.below_threshold.number),
    _one("tollbook_accounts_below_zero", f"Prepaid accounts that are overdrawn, {_FROM}.", lambda c: c.below_zero.number),
    _one("tollbook_accounts_above_limit", f"Postpaid pools beyond their credit limit, {_FROM}.", lambda c: c.above_limit.number),
    _one("tollbook_open_holds", "Holds that the clock hasn't ended, counted up to 50,000.", lambda c: c.holds.number),
    _one("tollbook_held_chf", "What these holds keep, in CHF.", lambda c: float(c.holds.held_chf)),
    _one(
        "tollbook_holds_overdue_seconds",
        "For how long the first hold that ended isn't settled, in seconds; the sweep comes every five.",
        lambda c: c.holds.overdue_seconds,
    ),
    _one("tollbook_caps_reached", f"Present windows of caps whose spending has reached the limit, {_FROM}.", lambda c: c.caps_reached.number),
    _one("tollbook_producer_gaps", f"Gaps in what producers numbered, {_FROM}.", lambda c: c.producer_gaps.number),
    _one(
        "tollbook_producer_gap_oldest_seconds",
        "For how long the oldest of them is open, in seconds; 0 without any.",
        lambda c: c.producer_gap_oldest_seconds,
    ),
    _one("tollbook_outcomes_waiting", f"Outcomes that wait to be told to producers, {_FROM}.", lambda c: c.outcomes_waiting.number),
)


class BooksMetrics(Collector):
    """The metrics of `TOLD`, from one look at the books for all of them; absent while the database can't answer."""

    def __init__(self, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._condition = Refreshed(_condition, every_seconds=every_seconds)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metrics without values, so that registering them asks no database."""
        return (told.family() for told in TOLD)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics as the books have them now, or had them ten seconds ago."""
        found = self._condition.latest()
        if found is None:
            return
        for told in TOLD:
            family = told.family()
            for label, value in told.samples(found):
                if value is not None:
                    family.add_metric([] if label is None else [label], value)
            yield family


def _condition() -> Condition | None:
    try:
        return condition(database(), ROOT)
    except TollbookError as error:
        log.warning("metrics.books_unknown", error=str(error))
        return None
