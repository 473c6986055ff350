"""Flower as an operator starts it."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from lab.process import free_port
from tests.delivery.conftest import ROOT, eventually

LOGIN = "operator:secret"


@pytest.fixture
def flower(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a running Flower with a login."""
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "flower", "--address=127.0.0.1", f"--port={port}"]
    with (tmp_path / "flower.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment | {"FLOWER_BASIC_AUTH": LOGIN}, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: status(f"{address}/healthcheck") == 200, "Flower answers")
        yield address
    finally:
        process.kill()
        process.wait()


def status(address: str, login: str | None = None) -> int | None:
    """What it answers; none while it doesn't."""
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
    try:
        with urlopen(Request(address, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except URLError:
        return None


@pytest.mark.parametrize("page", ["/", "/tasks", "/api/workers", "/metrics"])
def test_every_page_asks_for_the_login(flower: str, page: str) -> None:
    """The pages, what programs ask, and the metrics: nothing without the login, all with it."""
    assert (status(flower + page), status(flower + page, "operator:wrong"), status(flower + page, LOGIN)) == (401, 401, 200)


PROVIDER_ALONE = "--auth_provider=flower.views.auth.GithubLoginHandler"  # without `--auth` Flower asks nobody


@pytest.mark.parametrize("arguments", [[], ["--address=0.0.0.0"], ["--address=::"], [PROVIDER_ALONE]])
def test_without_a_login_it_is_open_to_nobody_else(arguments: list[str], environment: dict[str, str]) -> None:
    """Unless it listens on loopback alone it ends with exit code 78, and says what to set."""
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "flower", f"--port={free_port()}", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    assert "FLOWER_BASIC_AUTH" in done.stderr
