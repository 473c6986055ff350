"""The profile without processes, told as every profile is: one line of the same names."""

from collections.abc import Callable
from typing import Any

from lab.interleaved.run import run


def run_interleaved(
    seed: int, *, histories: int | None, minutes: float | None, only: int | None, told: Callable[[str], None]
) -> tuple[dict[str, Any], bool]:
    """Plays histories, see `lab.interleaved.run`; the line that tells of them, and whether all is well.

    Where one goes wrong it isn't known which sum it spoils: it counts as drifted.
    """
    result = run(seed, histories=histories, seconds=minutes and minutes * 60, told=told, only=only)
    found = result.as_json()
    kinds: dict[str, int] = found["faults"]
    line = {
        **found,
        "events": sum(result.outcomes.values()),
        "faults": sum(kinds.values()),
        "faults_by_kind": kinds,
        "lost": 0,
        "doubled": 0,
        "drifted": len(result.violations),
        "not_exercised": result.not_exercised if only is None else [],
    }
    return line, not (line["drifted"] or line["not_exercised"])
