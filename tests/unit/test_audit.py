"""What `make audit` says of the locked packages."""

import json
import os

import pytest

from lab.audit import ROOT, judged, sbom

_CLEAN = {"name": "kombu", "version": "5.7.0", "vulns": []}


def test_the_list_has_every_locked_package() -> None:
    """With its version and its hashes, without asking anybody."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    components = sbom(lock)["components"]
    assert len(components) == sum("==" in line and not line.startswith(" ") for line in lock.splitlines())
    assert all(one["version"] and one["properties"] for one in components)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"dependencies": [_CLEAN]}, 0),
        ({"dependencies": [_CLEAN, {"name": "amqp", "version": "1", "vulns": [{"id": "PYSEC-1"}]}]}, 1),
        ({"dependencies": [_CLEAN, {"name": "amqp", "skip_reason": "not found"}]}, os.EX_UNAVAILABLE),
        ({"dependencies": []}, os.EX_UNAVAILABLE),
        ({}, os.EX_UNAVAILABLE),
    ],
)
def test_what_could_not_be_asked_is_not_in_order(answer: object, code: int) -> None:
    """Nothing known, something known, and nobody knows are three exit codes."""
    assert judged(json.dumps(answer))[0] == code


def test_no_answer_is_not_in_order() -> None:
    """As without a network."""
    assert judged("")[0] == os.EX_UNAVAILABLE
