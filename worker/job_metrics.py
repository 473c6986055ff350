"""Metrics of the schedule: out of the books at each scrape, so that every worker tells the same, whichever did the job."""

from collections.abc import Iterator

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.asking.rights import ROOT
from core.database.database import database
from core.errors import TollbookError
from core.jobs.read import job_ages
from core.statistics.read_progress import rollup_status

log = structlog.get_logger()


class JobMetrics(Collector):
    """`tollbook_job_age_seconds`, `tollbook_job_failed` and `tollbook_rollup_pending_…`; all are absent while the database can't answer."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metrics without values, so that registering them asks no database."""
        yield from _families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics as the books have them now."""
        try:
            ages, rollup = job_ages(database(), ROOT), rollup_status(database(), ROOT)
        except TollbookError as error:
            log.warning("metrics.jobs_unknown", error=str(error))
            return
        age, failed, pending, oldest = _families()
        for one in ages:
            if one.age_seconds is not None:
                age.add_metric([one.job], one.age_seconds)
            failed.add_metric([one.job], float(one.failed))
        pending.add_metric([], rollup.pending_batches)
        oldest.add_metric([], rollup.oldest_seconds)
        yield from (age, failed, pending, oldest)


def _families() -> tuple[GaugeMetricFamily, ...]:
    return (
        GaugeMetricFamily("tollbook_job_age_seconds", "Time since the job was last done, in seconds.", labels=["job"]),
        GaugeMetricFamily("tollbook_job_failed", "1 if the latest run of the job failed.", labels=["job"]),
        GaugeMetricFamily("tollbook_rollup_pending_batches", "Batches that the statistics lack."),
        GaugeMetricFamily("tollbook_rollup_pending_seconds", "How long the oldest of them has waited, in seconds; 0 where none does."),
    )
