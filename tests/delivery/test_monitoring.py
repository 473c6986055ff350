"""Dashboard and rules ask for metrics that there are, and the rules do what their own tests say."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

import core.metrics
from lab.grafana import ROWS
from tests.delivery.test_any_language import program
from worker.books_metrics import BooksMetrics
from worker.broker_metrics import BrokerMetrics

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy/prometheus"
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
EXPRESSIONS = {
    **{f"rule {rule['alert']}": rule["expr"] for rule in RULES},
    **{f"panel {panel.title}: {n}": query for row in ROWS for panel in row.panels for n, query in enumerate(panel.queries)},
}
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
_LABELLED = re.compile(r"(tollbook_\w+)(?:\{([^}]*)\})?")


def exposed() -> Iterator[tuple[str, set[str]]]:
    """Each series that a worker tells, by name, with its labels as Prometheus keeps them."""
    families: list[Metric] = [family for family in REGISTRY.collect() if family.name.startswith("tollbook_")]
    assert core.metrics.EVENTS
    described = [*families, *BooksMetrics().describe(), *BrokerMetrics("redis://nowhere").describe()]
    for family in described:
        labels = set(getattr(family, "_labelnames", ())) | {name for sample in family.samples for name in sample.labels}
        for suffix in _SUFFIXES.get(family.type, ("",)):
            yield family.name + suffix, labels | ({"le"} if suffix == "_bucket" else set())


def of_collectors() -> dict[str, set[str]]:
    """The labels of each metric, those of counters without a sample yet too."""
    told = dict(exposed())
    for metric in vars(core.metrics).values():
        if hasattr(metric, "_labelnames"):
            for suffix in _SUFFIXES.get(metric._type, ("",)):
                told.setdefault(metric._name + suffix, set()).update(metric._labelnames)
    return {name: {"exported_job" if label == "job" else label for label in labels} for name, labels in told.items()}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_what_is_asked_for_is_told(expression: str) -> None:
    """Each metric of a rule or a panel is one that a worker tells, and has the labels that are asked for."""
    told = of_collectors()
    named = _LABELLED.findall(expression)
    assert named
    for name, selected in named:
        assert name in told
        assert set(re.findall(r"(\w+)(?:=~?|!=)", selected)) <= told[name] | {"instance"}
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
    assert grouped <= {label for name, _ in named for label in told[name]} | {"instance"}


def test_prometheus_takes_rules_and_panels(tmp_path: Path) -> None:
    """`promtool` reads every rule and every panel's question."""
    promtool = program("promtool", "prometheus")
    asked = tmp_path / "asked.yml"
    rules = [{"record": f"panel:{n}", "expr": expression} for n, expression in enumerate(EXPRESSIONS.values())]
    asked.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    for path in (PROMETHEUS / "rules.yml", asked):
        checked = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    configuration = [promtool, "check", "config", "--syntax-only", str(PROMETHEUS / "prometheus.yml")]
    assert subprocess.run(configuration, capture_output=True, timeout=60, check=False).returncode == 0


def test_rules_alarm_when_they_should() -> None:
    """The rules' own tests pass: each alarm that matters comes when it must, and none of a healthy pair of workers."""
    command = [program("promtool", "prometheus"), "test", "rules", "rules_test.yml"]
    tested = subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_rule_leads_to_the_runbook() -> None:
    """Each alarm says what it means and names a document, and a heading in it, that there is."""
    from tests.unit.test_docs import headings

    for rule in RULES:
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        document = PROMETHEUS.parents[1] / path
        assert document.exists(), path
        assert not anchor or anchor in headings(document), rule["annotations"]["runbook"]


def test_every_metric_has_its_row() -> None:
    """The table of the documents has each metric that a worker tells, with its labels, and no other."""
    text = (PROMETHEUS.parents[1] / "docs/operations.md").read_text(encoding="utf-8").partition("\n## Metrics\n")[2].partition("\n### ")[0]
    rows = {name: set(filter(None, labels.split(","))) for name, labels in re.findall(r"`(tollbook_\w+)(?:\{([^}]*)\})?`", text.partition("\n|")[2])}
    told: dict[str, set[str]] = {}
    for name, labels in of_collectors().items():
        if not name.endswith(("_bucket", "_sum")):
            told[name.removesuffix("_count")] = {"job" if label == "exported_job" else label for label in labels - {"le"}}
    assert rows == told
