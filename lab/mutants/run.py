"""Runs mutants against their catchers: each must be caught, by the check that is to catch it; what is not broken must pass all of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.mutants.catalogue import MUTANTS, NO_OP
from lab.mutants.model import ROOT, Mutant

AT_ONCE = 2
TIMEOUT_SECONDS = 400.0  # of one test
END_SECONDS = 60.0  # that pytest may take beside it, to begin and to end
_MESSAGE_CHARACTERS = 4_000
_OK, _FAILED = 0, 1  # pytest's exit codes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        name: the mutant's.
        broken: what is broken, in one sentence.
        expected: the check that is to notice it: the test, and what it says.
        caught_by: the test that failed, and the first line of what it says; nothing where none did.
        seconds: how long that took.
        is_right: whether it was caught by what is to catch it; of what isn't broken whether nothing failed.
        detail: of a verdict that isn't right, the end of what pytest said.
    """

    name: str
    broken: str
    expected: str
    caught_by: str
    seconds: float
    is_right: bool
    detail: str = ""


def run(names: Sequence[str] = ()) -> Iterator[Verdict]:
    """The verdicts on these mutants (all of them by default), in their order, each as soon as it is known.

    Raises:
        KeyError: there is none of such a name.
    """
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    chosen = [by_name[name] for name in names] or list(MUTANTS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(judge, chosen)


def judge(mutant: Mutant) -> Verdict:
    """Runs the mutant's catcher on it; what isn't broken has the catchers of all others."""
    nodes = catchers() if mutant.name == NO_OP else [mutant.catcher]
    expected = f"all {len(nodes)} catchers pass" if mutant.name == NO_OP else f"{mutant.catcher} ({mutant.says})"
    begun = time.monotonic()
    code, failed, output = _pytest(mutant.name, nodes)
    seconds = time.monotonic() - begun
    first = failed[0] if failed else None
    noticed = first is not None and says_so(first["message"], mutant.says)
    caught_by = "" if first is None else f"{first['node']}: {_told(first['message'], mutant.says)}"
    is_right = code == _OK if mutant.name == NO_OP else code == _FAILED and noticed
    return Verdict(mutant.name, mutant.broken, expected, caught_by, round(seconds, 1), is_right, "" if is_right else output[-_MESSAGE_CHARACTERS:])


def catchers() -> list[str]:
    """Every test that is to catch a mutant, once."""
    return list(dict.fromkeys(mutant.catcher for mutant in MUTANTS if mutant.catcher))


def table(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """The verdicts as lines of text."""
    for verdict in verdicts:
        mark = "caught" if verdict.caught_by else "passed"
        yield f"{'ok ' if verdict.is_right else 'BAD'}  {verdict.name:32} {mark} {verdict.seconds:6.1f} s  {verdict.broken}"
        yield f"     expected  {verdict.expected}"
        if verdict.caught_by:
            yield f"     caught by {verdict.caught_by}"
        if verdict.detail:
            yield from (f"     | {line}" for line in verdict.detail.splitlines())


def says_so(message: str, says: str) -> bool:
    """Whether a failure has these words in it, whole: I1 is not in I15."""
    return re.search(rf"(?<!\w){re.escape(says)}(?!\w)", message) is not None


def _told(message: str, says: str) -> str:
    """The line of a failure that says it, else its first line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or [""]
    return next((line for line in lines if says_so(line, says)), lines[0])[:160]


def _pytest(name: str, nodes: Sequence[str]) -> tuple[int, list[dict[str, str]], str]:
    """Of pytest its exit code, what failed, and what it said."""
    with TemporaryDirectory(prefix="tollbook-mutant-") as folder:
        report = Path(folder) / "report.json"
        environment = {**os.environ, "TOLLBOOK_TEST_MUTANT": name, "TOLLBOOK_TEST_MUTANT_REPORT": str(report), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "pytest", *nodes, "-p", "lab.mutants.plugin", "-p", "no:cacheprovider", "-x", "-q", "--tb=short"]
        command += ["--timeout", str(int(TIMEOUT_SECONDS))]
        code, output = _ended(command, environment, TIMEOUT_SECONDS * len(nodes) + END_SECONDS)
        failed = json.loads(report.read_text(encoding="utf-8")) if report.exists() else []
        return code, failed, output


def _ended(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """The exit code of a command and what it said; one that hangs is interrupted, so that it ends what it started, and then killed."""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                output, _ = running.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                running.send_signal(number)
                seconds = END_SECONDS
            else:
                return running.returncode, output
        output, _ = running.communicate()
    return running.returncode, f"{output}\nit hung, and was killed"


def as_json(verdicts: Iterable[Verdict]) -> str:
    """The verdicts for a program."""
    told = [asdict(verdict) for verdict in verdicts]
    return json.dumps({"mutants": told, "not_right": [one["name"] for one in told if not one["is_right"]]}, indent=2)
