"""How two checkouts are compared: what is measured when, and when a path counts as slower."""

import subprocess
from pathlib import Path

import pytest

from lab.bench import compare
from lab.bench.compare import Compared, alternate, as_json, checked_out, commit_of, figures_of, has_our_lock
from lab.bench.drains import HERE, ROOT, Checkout
from lab.bench.goals import PLAIN, ROLLUP, SINGLE

BASE = Checkout(Path("base"), Path("python"))


def test_a_ratio_is_the_median_of_its_rounds() -> None:
    """Each round is a pair, and the median of the pairs counts: one disturbed round changes nothing."""
    one = Compared(SINGLE, base=[1000, 2000, 100], new=[990, 2000, 10])
    assert one.ratios == [0.99, 1.0, 0.1]
    assert (one.ratio, one.is_slower) == (0.99, False)


@pytest.mark.parametrize(("path", "base", "new"), [(SINGLE, 1000, 940), (ROLLUP, 1.0, 1.1), (f"{SINGLE}{compare._CPU}", 50.0, 55.0)])
def test_slower_is_slower_whatever_the_figure(path: str, base: float, new: float) -> None:
    """Of a rate the smaller figure is the slower one, of a duration the greater."""
    assert Compared(path, [base], [new]).is_slower
    assert not Compared(path, [new], [base]).is_slower


def test_exactly_the_limit_is_not_slower() -> None:
    """0.95 of the base's speed is enough, less is not."""
    assert not Compared(SINGLE, [100], [95]).is_slower
    assert Compared(SINGLE, [1000], [949]).is_slower


def test_base_and_new_alternate() -> None:
    """Within a round each path is measured of both, one right after the other, and who is first changes."""
    order = []

    def measure(checkout: Checkout, path: str) -> dict[str, float]:
        order.append((path, checkout is BASE))
        return {path: 2.0 if checkout is BASE else 1.0}

    found = alternate(BASE, HERE, [SINGLE, PLAIN], 2, measure)
    assert order == [(path, is_base) for first in (True, False) for path in (SINGLE, PLAIN) for is_base in (first, not first)]
    assert [(one.path, one.base, one.new) for one in found] == [(path, [2.0, 2.0], [1.0, 1.0]) for path in (SINGLE, PLAIN)]
    assert as_json("c0ffee", 2, 1.0, found)["slower"] == [SINGLE, PLAIN]


def test_figures_come_out_of_the_benchmarks_json() -> None:
    """A rate with what the worker used of the processor, or the figure of a limit."""
    document = {
        "events_per_second": {SINGLE: [12_345]},
        "cpu_microseconds_per_event": {SINGLE: {"worker": 45.6, "postgres": 0.0, "broker": 0.0}},
        "goals": [{"what": ROLLUP, "measured": 1.7}],
    }
    assert list(figures_of(document, SINGLE).values()) == [12_345.0, 45.6]
    assert figures_of(document, ROLLUP) == {ROLLUP: 1.7}


@pytest.mark.parametrize(
    "arguments",
    [[], ["--base", "no-such-revision"], ["--base", "--help"], ["--base", "HEAD", "--only", "no such path"], ["--base", "HEAD", "--rounds", "0"]],
)
def test_what_can_not_be_compared_is_refused_at_once(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No base, one that git doesn't know, an unknown path or no round is wrong usage, before anything is started."""
    with pytest.raises(SystemExit) as ended:
        compare.main(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_base_is_what_the_commit_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base's modules are those of its worktree, with our packages where the lock is the same, and nothing is left of it."""
    monkeypatch.setattr(compare, "has_our_lock", lambda _: True)
    commit = commit_of("HEAD")
    assert commit is not None
    with checked_out(commit, tmp_path / "base") as base:
        assert base.python == HERE.python
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=base.root, capture_output=True, text=True, check=True)
        assert found.stdout.strip() == commit
    assert not base.root.exists()
    assert str(base.root) not in subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_another_lock_needs_packages_of_its_own(tmp_path: Path) -> None:
    """Our packages serve a base whose lock has the very bytes of ours, and no other one."""
    ours = (ROOT / "requirements-dev.lock").read_bytes()
    (tmp_path / "requirements-dev.lock").write_bytes(ours)
    assert has_our_lock(tmp_path)
    (tmp_path / "requirements-dev.lock").write_bytes(ours + b"other\n")
    assert not has_our_lock(tmp_path)
