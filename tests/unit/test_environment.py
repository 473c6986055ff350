"""Variables that are none of ours: those of Kubernetes end nothing, misspelt ones are told."""

import os
import subprocess
import sys

import pytest

from core.config import unread_variables
from tests.conftest import IsolatedConfiguration

# What Kubernetes injects for the Services tollbook, tollbook-metrics and tollbook-flower of a namespace.
KUBERNETES = {
    f"TOLLBOOK{service}_{name}": value
    for service in ("", "_METRICS", "_FLOWER")
    for name, value in {
        "SERVICE_HOST": "10.0.0.7",
        "SERVICE_PORT": "9464",
        "SERVICE_PORT_HTTP_METRICS": "9464",
        "PORT": "tcp://10.0.0.7:9464",
        "PORT_9464_TCP": "tcp://10.0.0.7:9464",
        "PORT_9464_TCP_PROTO": "tcp",
        "PORT_9464_TCP_PORT": "9464",
        "PORT_9464_TCP_ADDR": "10.0.0.7",
    }.items()
}


def test_what_kubernetes_injects_is_neither_an_error_nor_told() -> None:
    """A Service named tollbook-metrics sets TOLLBOOK_METRICS_PORT to an address: no process ends of it, and none serves metrics by it."""
    assert unread_variables(KUBERNETES) == []
    assert IsolatedConfiguration(metrics_port=KUBERNETES["TOLLBOOK_METRICS_PORT"]).metrics_port == 0
    told = subprocess.run(
        [sys.executable, "-c", "from core.config import configuration; print(configuration().metrics_port)"],
        env={**os.environ, **KUBERNETES}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "0\n"


def test_a_port_that_is_no_number_is_still_refused() -> None:
    """Only an address as Kubernetes writes it is passed over."""
    with pytest.raises(ValueError, match="metrics_port"):
        IsolatedConfiguration(metrics_port="nine")


def test_unknown_names_are_told_with_the_one_that_may_be_meant() -> None:
    """A misspelt variable would otherwise leave its default in force without a word."""
    assert unread_variables({"TOLLBOOK_INTAKE_THREAD": "3", "TOLLBOOK_LATENESS_DAYS": "3", "TOLLBOOK_TEST_X": "", "PATH": ""}) == [
        "TOLLBOOK_INTAKE_THREAD is not a variable that this program reads: is TOLLBOOK_INTAKE_THREADS meant?"
    ]
    assert unread_variables({"TOLLBOOK_COLOUR_OF_THE_SKY": "blue"}) == ["TOLLBOOK_COLOUR_OF_THE_SKY is not a variable that this program reads"]


def test_commands_tell_unknown_names() -> None:
    """One line on standard error, and the command goes on."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "balance", "acme"],
        env={**os.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "TOLLBOOK_INTAKE_THREAD": "3"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (
        done.stderr.splitlines()[0] == "warning: TOLLBOOK_INTAKE_THREAD is not a variable that this program reads: is TOLLBOOK_INTAKE_THREADS meant?"
    )
