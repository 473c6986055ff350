"""Metrics of the books: what the latest reconciliation found, read at each scrape, so that every worker tells the same."""

from collections.abc import Iterator

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.asking.rights import ROOT
from core.database.database import database
from core.errors import TollbookError
from core.verifying.read_findings import latest_violations

log = structlog.get_logger()


class BooksMetrics(Collector):
    """`tollbook_invariant_violations`; it is absent while the database can't answer, and before the books were reconciled first."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metric without values, so that registering it asks no database."""
        yield _family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metric as the books have it now."""
        try:
            violations = latest_violations(database(), ROOT)
        except TollbookError as error:
            log.warning("metrics.violations_unknown", error=str(error))
            return
        family = _family()
        for invariant, number in violations.items():
            family.add_metric([invariant], float(number))
        yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily("tollbook_invariant_violations", "Violations that the latest reconciliation counted.", labels=["invariant"])
