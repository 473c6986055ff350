"""The pytest plugin that runs tests on a mutant: `TOLLBOOK_TEST_MUTANT=name python -m pytest NODE -p lab.mutants.plugin`."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from lab.mutants import hook
from lab.mutants.model import ROOT

REPORT = "TOLLBOOK_TEST_MUTANT_REPORT"  # the file that gets what failed
_STARTUP = str(Path(__file__).parent / "startup")
_failed: list[dict[str, str]] = []

if (_mutant := hook.chosen()) is not None:  # at once: before anything of the program is loaded
    hook.become(_mutant)

_begin: Any = subprocess.Popen.__init__


def begin(self: Any, *arguments: Any, **options: Any) -> None:
    """As the real one; but each process that a test starts is the same mutant, whatever environment it is given."""
    environment = dict(options.get("env") or os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [_STARTUP, str(ROOT), environment.get("PYTHONPATH")]))
    environment[hook.VARIABLE] = os.environ[hook.VARIABLE]
    _begin(self, *arguments, **{**options, "env": environment})


if _mutant is not None:
    subprocess.Popen.__init__ = begin  # type: ignore[method-assign]


def pytest_collection() -> None:
    """A failing example is enough, it needs not be the shortest."""
    plain = hypothesis.settings.get_profile("tollbook")
    hypothesis.settings.register_profile("mutants", plain, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate], database=None)
    hypothesis.settings.load_profile("mutants")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keeps what failed, and how."""
    if report.failed:
        told = [line[1:].strip() for line in report.longreprtext.splitlines() if line.startswith("E ")]  # of every exception of the chain
        _failed.append({"node": report.nodeid, "when": report.when, "message": "\n".join(told) or report.longreprtext})


def pytest_sessionfinish() -> None:
    """Tells it to whoever runs the mutants."""
    if path := os.environ.get(REPORT):
        Path(path).write_text(json.dumps(_failed), encoding="utf-8")
