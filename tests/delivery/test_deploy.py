"""What `deploy` has for systemd and Kubernetes is what these take, and starts the processes as the documents say."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from core.config import Configuration
from core.version import __version__
from tests.delivery.test_any_language import program

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
MANIFESTS = sorted(path for path in (ROOT / "deploy/kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")


def objects() -> Iterator[dict[str, Any]]:
    """Every object of the manifests."""
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def pods() -> dict[str, dict[str, Any]]:
    """What each workload runs, by its name."""
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in objects() if one["kind"] in ("Job", "Deployment")}


def test_manifests_are_what_the_api_takes() -> None:
    """Every object passes the API's own schema, unknown fields refused; so does the kustomization name each file."""
    for one in objects():
        kubernetes_validate.validate(one, "1.33", strict=True)
    kustomization = yaml.safe_load((ROOT / "deploy/kubernetes/kustomization.yaml").read_text(encoding="utf-8"))
    assert {*kustomization["resources"], "secrets.example.yaml"} == {path.name for path in MANIFESTS}
    assert kustomization["images"][0]["newTag"] == __version__


@pytest.mark.parametrize("name", ["tollbook-migrate", "tollbook-worker", "tollbook-beat", "tollbook-flower"])
def test_a_pod_may_do_no_more_than_it_must(name: str) -> None:
    """It runs as a numeric user on a read-only file system, without a token of the cluster, and only with the secrets that it uses."""
    pod = pods()[name]
    container = pod["containers"][0]
    assert (pod["securityContext"]["runAsNonRoot"], pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (True, False, False)
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    secrets = {source["secretRef"]["name"].removeprefix("tollbook-") for source in container["envFrom"] if "secretRef" in source}
    assert (
        secrets
        == {
            "tollbook-migrate": {"books", "owner"},
            "tollbook-worker": {"books", "broker"},
            "tollbook-beat": {"broker"},
            "tollbook-flower": {"broker", "flower"},
        }[name]
    )


def test_a_pod_is_stopped_no_sooner_than_a_worker_ends() -> None:
    """The grace period is above the time in which a worker finishes its batch; one beat at a time, by rollouts too."""
    workloads = {one["metadata"]["name"]: one["spec"] for one in objects() if one["kind"] == "Deployment"}
    rules = next(one["data"] for one in objects() if one["kind"] == "ConfigMap")
    grace = workloads["tollbook-worker"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > float(rules["TOLLBOOK_INTAKE_SHUTDOWN_SECONDS"]) + 10
    assert (workloads["tollbook-beat"]["replicas"], workloads["tollbook-beat"]["strategy"]) == (1, {"type": "Recreate"})


def test_manifests_set_variables_that_there_are() -> None:
    """Each TOLLBOOK_ variable of the manifests is one of the configuration."""
    known = {f"TOLLBOOK_{name}".upper() for name in Configuration.model_fields}
    rules: Mapping[str, str] = next(one["data"] for one in objects() if one["kind"] == "ConfigMap")
    named = {variable["name"] for pod in pods().values() for variable in pod["containers"][0].get("env", [])} | set(rules)
    assert {name for name in named if name.startswith("TOLLBOOK_")} <= known


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_what_systemd_takes(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say of it; a wrong configuration isn't tried again and again."""
    copied = tmp_path / unit.name
    copied.write_text(unit.read_text(encoding="utf-8").replace("/opt/tollbook", str(ROOT)), encoding="utf-8")
    checked = subprocess.run(
        [program("systemd-analyze", "systemd"), "verify", "--man=no", str(copied)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert "RestartPreventExitStatus=78\n" in unit.read_text(encoding="utf-8")
