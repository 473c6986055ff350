"""Metrics of the schedule: out of the books at each scrape, so that every worker tells the same, whichever did the job."""

from collections.abc import Iterator

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.domain.rights import ROOT
from core.errors import TollbookError
from core.storage.database import database
from core.views.jobs import job_ages

log = structlog.get_logger()


class JobMetrics(Collector):
    """`tollbook_job_age_seconds` and `tollbook_job_failed`; both are absent while the database can't answer."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metrics without values, so that registering them asks no database."""
        yield from _families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics as the books have them now."""
        try:
            ages = job_ages(database(), ROOT)
        except TollbookError as error:
            log.warning("metrics.jobs_unknown", error=str(error))
            return
        age, failed = _families()
        for one in ages:
            if one.age_seconds is not None:
                age.add_metric([one.job], one.age_seconds)
            failed.add_metric([one.job], float(one.failed))
        yield age
        yield failed


def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("tollbook_job_age_seconds", "Time since the job was last done, in seconds.", labels=["job"]),
        GaugeMetricFamily("tollbook_job_failed", "1 if the latest run of the job failed.", labels=["job"]),
    )
