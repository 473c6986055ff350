"""`tollbook torture` in whole: everything is attacked, and the books are proven."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.conftest import require_rabbitmq

ROOT = Path(__file__).resolve().parents[2]


END_SECONDS = 90.0  # so long a run that is told to end takes at most to end all that it started


def ended(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """The command after its end; where it takes too long it is told to end, so that nothing that it started is left."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            told, complaints = running.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            running.terminate()
            try:
                told, complaints = running.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                running.kill()
                told, complaints = running.communicate()
            pytest.fail(f"{command[3:]} takes longer than {seconds:.0f} s\n{told[-6000:]}\n{complaints[-3000:]}")
        except BaseException:
            running.terminate()
            with suppress(subprocess.TimeoutExpired):
                running.wait(END_SECONDS)
            raise
    return subprocess.CompletedProcess(command, running.returncode, told, complaints)


def torture(*options: str, seconds: float) -> dict[str, Any]:
    """The last line of a run that found nothing wrong."""
    done = ended([sys.executable, "-m", "cli.main", "torture", *options], seconds)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert (result["lost"], result["doubled"], result["drifted"], result["not_exercised"], result["unknown"]) == (0, 0, 0, [], "")
    return result


@pytest.mark.timeout(700)
def test_nothing_is_lost_doubled_or_drifts_in_a_minute_of_torture() -> None:
    """The profile `minute`, with a seed of its own each time: every fault and outcome of it happens, and the books are right."""
    result = torture("--json", seconds=650)
    assert result["faults"] >= 30
    assert result["events"] > 1_000


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_five_minutes_with_a_standby_a_full_disk_and_a_pooler_do_no_harm(broker: str) -> None:
    """The profile `five-minutes`, on each broker."""
    if broker == "rabbitmq":
        require_rabbitmq()
    assert torture("--profile", "five-minutes", "--broker", broker, "--json", seconds=1400)["faults"] >= 100


@pytest.mark.long
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_half_an_hour_of_torture_does_no_harm(broker: str) -> None:
    """The profile `half-hour`, on each broker."""
    if broker == "rabbitmq":
        require_rabbitmq()
    assert torture("--profile", "half-hour", "--broker", broker, "--json", seconds=5300)["faults"] >= 250


def test_a_run_that_can_not_exercise_everything_says_so_and_fails() -> None:
    """A run of a few events ends early: exit code 1, and the faults that never happened by name."""
    command = [sys.executable, "-m", "cli.main", "torture", "--events", "40", "--json", "--seed", "7"]
    done = ended(command, 200)
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1, done.stderr
    assert result["seed"] == 7
    assert (result["lost"], result["doubled"], result["drifted"]) == (0, 0, 0)
    assert "broker killed" in result["not_exercised"]


@pytest.mark.parametrize(("options", "named"), [(["--history", "3"], "--history"), (["--profile", "interleaved", "--keep"], "--keep")])
def test_options_that_would_do_nothing_are_refused(options: list[str], named: str) -> None:
    """What the chosen profile has no use for is a mistake of the command line, told by name."""
    command = [sys.executable, "-m", "cli.main", "torture", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert named in ended.stderr
