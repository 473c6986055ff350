"""Deliberately broken programs: each is one, each names a check that there is, and that check catches it."""

import ast
import os
import subprocess
import sys

import psycopg
import pytest

from lab.mutants import hook
from lab.mutants.catalogue import MUTANTS, NO_OP
from lab.mutants.model import ROOT, Change, Mutant, NotApplicable
from lab.mutants.run import run, says_so
from tests.conftest import DatabaseUrls

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
ASKED = "from decimal import Decimal; from core.movements.switch_rules import equal_shares; print(sum(equal_shares(Decimal(1), 3)))"


def python(*arguments: str, mutant: str) -> subprocess.CompletedProcess[str]:
    """Runs Python as a process that a mutant's test would start."""
    environment = {**os.environ, hook.VARIABLE: mutant, "PYTHONPATH": f"{ROOT / 'lab/mutants/startup'}:{ROOT}"}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_there_are_many_and_each_has_a_name() -> None:
    """At least 25 beside the one that isn't broken; no two have a name or a change in common."""
    assert len(BY_NAME) == len(MUTANTS) > 25
    assert len({(mutant.changes, mutant.ddl) for mutant in MUTANTS}) == len(MUTANTS)
    assert all(mutant.broken and (mutant.name == NO_OP or (mutant.catcher and mutant.says)) for mutant in MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=BY_NAME)
def test_each_changes_something_that_is_there(mutant: Mutant) -> None:
    """Every change fits the checkout, in one place, and what comes of it is Python where it was; each changes something."""
    assert mutant.changes or mutant.ddl
    for path in {change.path for change in mutant.changes}:
        text = (ROOT / path).read_text(encoding="utf-8")
        changed = hook.changed(mutant, path, text)
        assert changed != text
        if path.endswith(".py"):
            compile(changed, path, "exec")


@pytest.mark.parametrize("mutant", [mutant for mutant in MUTANTS if mutant.ddl], ids=lambda mutant: mutant.name)
def test_each_takes_something_away_that_is_there(mutant: Mutant, database_urls: DatabaseUrls) -> None:
    """What it does to a database can be done to one that was just migrated."""
    hook.alter(database_urls.owner, mutant)


@pytest.mark.parametrize("catcher", sorted({mutant.catcher for mutant in MUTANTS} - {""}))
def test_each_catcher_is_there(catcher: str) -> None:
    """The test that is to catch it exists."""
    path, name = catcher.split("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name.split("[")[0] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_process_is_the_mutant_that_it_is_told_to_be() -> None:
    """What a test starts has the fault, and without the variable none; nothing of it is kept on disk."""
    assert [python("-c", ASKED, mutant=name).stdout.strip() for name in ("last-unit-lost", "", "no-op")] == [
        "0.999999999",
        "1.000000000",
        "1.000000000",
    ]


def test_a_mutant_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody knows, one that changes what isn't there, or is there twice, and one that comes too late: all are refused."""
    monkeypatch.setenv(hook.VARIABLE, "unheard-of")
    with pytest.raises(NotApplicable, match="no mutant unheard-of"):
        hook.chosen()
    for old in ("what nobody has written", "import"):
        with pytest.raises(NotApplicable, match="times, not once"):
            hook.become(Mutant("x", "x", "x", "x", (Change("docs/operations.md", old, "x"),)))
    with pytest.raises(NotApplicable, match="were loaded before"):
        hook.become(BY_NAME["no-op"])


def test_what_a_database_does_not_have_is_not_taken_away(database_urls: DatabaseUrls) -> None:
    """A constraint that isn't there is an error."""
    with pytest.raises(psycopg.errors.UndefinedObject):
        hook.alter(database_urls.owner, Mutant("x", "x", "x", "x", ddl=("ALTER TABLE accounts DROP CONSTRAINT nothing",)))


def test_a_check_is_known_by_whole_words() -> None:
    """I1 is not in I15."""
    assert says_so("found I1: something", "I1")
    assert not says_so("found I15: something", "I1")
    assert not says_so("found AI1", "I1")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_each_is_caught() -> None:
    """Every mutant by the check that is to notice it, and what isn't broken by none."""
    wrong = [
        f"{verdict.name}: expected {verdict.expected}, caught by {verdict.caught_by}\n{verdict.detail}" for verdict in run() if not verdict.is_right
    ]
    assert wrong == []
