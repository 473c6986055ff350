"""How the program is installed."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from core.version import __version__

ROOT = Path(__file__).resolve().parents[2]


def test_no_wheel_puts_its_packages_beside_those_of_others(tmp_path: Path) -> None:
    """A wheel with `core`, `tasks` and `cli` at its top isn't built; the message names the ways there are."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode != 0
    assert "Run it from a checkout" in built.stderr + built.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_declared_once() -> None:
    """What the program says of itself, which the image does without being installed, is what was installed."""
    assert __version__ == version("tollbook")
