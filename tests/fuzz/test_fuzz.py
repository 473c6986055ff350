"""Every reader of foreign bytes, given bytes that nobody meant to send: it agrees with a strict reader that shares nothing with it.

A few hundred examples each in every run; `make test-long` looks for ten minutes in all, or for `TOLLBOOK_FUZZ_SECONDS`, from a seed that it prints.
"""

import os
import random
from collections.abc import Callable
from time import monotonic

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.targets import TARGETS

SECONDS = float(os.environ.get("TOLLBOOK_FUZZ_SECONDS", "600"))
EXAMPLES, EXAMPLES_AT_ONCE = 300, 1_000


def _run(name: str, examples: int, *, from_seed: int | None = None) -> None:
    """Gives the reader so many inputs; without a seed the same ones in every run."""
    target = TARGETS[name]
    checked: Callable[[], None] = given(target.inputs)(lambda body: target.check(body))  # noqa: PLW0108 - Hypothesis marks the function that it is given
    if from_seed is not None:
        checked = seed(from_seed)(checked)
    settings(
        max_examples=examples,
        derandomize=from_seed is None,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )(checked)()


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_of_foreign_bytes(name: str) -> None:
    """Damaged samples and odd JSON are refused or read as the strict reader reads them; see the check of each target."""
    _run(name, EXAMPLES)


@pytest.mark.long
@pytest.mark.timeout(int(SECONDS) + 1800)
@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_of_foreign_bytes_for_its_share_of_the_time(name: str) -> None:
    """The same with ever other seeds, for an equal part of the time."""
    ends = monotonic() + SECONDS / len(TARGETS)
    while True:
        from_seed = random.SystemRandom().randrange(2**32)
        print(f"{name}: seed {from_seed}")  # noqa: T201 - shown where it fails
        _run(name, EXAMPLES_AT_ONCE, from_seed=from_seed)
        if monotonic() >= ends:
            return
