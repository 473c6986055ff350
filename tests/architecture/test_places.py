"""How many places one more thing takes: what stands in CONTRIBUTING, counted.

A place is a source file of `core tasks worker cli`, without migrations (what is generated stands in `docs`) and without dialects, whose
words are their providers'. How it is counted:

- An event field, a token kind, a setting: each file that has the name, as an identifier, in a string, SQL or a comment, counts. A new one
  has to be written into as many. Left out are words that are used for other things too, each with its reason (`OTHER_USES`). Settings
  that rules read (`READ_BY_RULES`) and kinds that are singled out for being shown (`SHOWN`) may have as many files more, no further one.
- A view, a movement: each file that has the name of its task as a string of its own counts, and the file with its function, if that is
  another one: where it is declared, and where it is registered. Who calls it (such as the command line's file of the same noun) doesn't,
  since a new one has no callers, nor does SQL under it.
- An invariant: the files that have its number as a string, or name the function that makes it; more where a repair is about it (`REPAIRED`).
- A configuration field: the files that declare it or list it by name; reading `config.name` is use.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from core.config import Configuration
from core.events.model import EVENT_FIELDS, TOKEN_KINDS
from core.settings.model import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "tasks", "worker", "cli")
LEFT_OUT = {"migrations", "dialects"}  # folders
Places = Callable[[str], set[str]]

OTHER_USES = {
    **dict.fromkeys(("event_id", "mandate_id", "user_id"), "keys of nearly every table"),
    **dict.fromkeys(("provider", "model", "feature_code"), "usage is grouped by them"),
    **dict.fromkeys(("price_chf", "occurred_at", "description"), "amendments and entries of every kind have them too"),
    **dict.fromkeys(("usage", "source", "intake", "installation"), "words of other things too"),
    "schema_version": "alerts have one of their own, and no table has it",
    **dict.fromkeys(("billing_model", "time_zone"), "most rules ask for them"),
}
READ_BY_RULES = {
    "default_user_credit": 5,  # grants
    "warning_threshold_percent": 6,  # alerts
    "block_on_zero_balance": 4,  # checks of a balance, holds, and the list of balances
    "notification_emails": 2,  # published alerts name them
    "billing_address": 10,  # statements show it, changes go line by line
}
SHOWN = {"input_tokens": 2, "output_tokens": 1}  # the table of statistics; the help of `publish`
REPAIRED = {"I1": 1, "I2": 1, "I14": 1, "I16": 1, "I18": 2}  # repairs tell what helps; the nightly job keeps the sums of I18 itself
MORE = READ_BY_RULES | SHOWN | REPAIRED


@cache
def sources() -> dict[str, str]:
    """The text of each file that counts, by its path."""
    files = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*")) if path.suffix in (".py", ".html"))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files if not LEFT_OUT & set(path.relative_to(ROOT).parts)}


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of each Python file that counts."""
    return {path: ast.parse(text) for path, text in sources().items() if path.endswith(".py")}


@cache
def strings(path: str) -> frozenset[str]:
    """The strings of a file."""
    return frozenset(node.value for node in ast.walk(trees()[path]) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def naming(name: str) -> set[str]:
    """The files that have the name as a word."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    return {path for path, text in sources().items() if word.search(text)}


def declaring(task: str) -> set[str]:
    """The files that name the task, and where none of these has its function: that function, wherever it is."""
    name = task.partition(".")[2]
    found = {path for path in trees() if task in strings(path)}
    defined = {node.name for path in found for node in trees()[path].body if isinstance(node, ast.FunctionDef)}
    return found if name in defined else found | {f"where {name} is defined"}


def guarding(number: str) -> set[str]:
    """The files that have the invariant's number, or name the function that makes it."""
    makers = {
        node.name
        for tree in trees().values()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(isinstance(inner, ast.Constant) and inner.value == number for inner in ast.walk(node))
    }
    return {path for path in trees() if number in strings(path)}.union(*map(naming, makers))


def configuring(name: str) -> set[str]:
    """The files that declare the field of the configuration, or list it by name."""
    declared = {
        path
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name == Configuration.__name__
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.target.id == name
    }
    return declared | {path for path in trees() if {name, f"TOLLBOOK_{name.upper()}"} & strings(path)}


def tasks(noun: str) -> list[str]:
    """The names of the tasks of a noun: `noun.verb`."""
    return sorted({text for path in trees() for text in strings(path) if re.fullmatch(rf"{noun}\.[a-z_]+", text)})


def invariants() -> list[str]:
    """The numbers of the invariants."""
    return sorted({text for path in trees() for text in strings(path) if re.fullmatch(r"[IPHK]\d+", text)})


# One more …: an example, at most so many files, all there are of the kind, and how its files are counted.
KINDS: dict[str, tuple[str, int, list[str], Places]] = {
    "event field": ("feature_instance_id", 4, list(EVENT_FIELDS), naming),
    "token kind": ("cached_input_tokens", 3, list(TOKEN_KINDS), naming),
    "setting": ("notify_on_warning", 4, list(SETTINGS), naming),
    "view": ("view.balance_at", 1, tasks("view"), declaring),
    "movement": ("movement.adjust", 1, tasks("movement"), declaring),
    "invariant": ("I11", 2, invariants(), guarding),
    "configuration field": ("statement_timeout_seconds", 2, list(Configuration.model_fields), configuring),
}


def counted() -> Iterator[tuple[str, str]]:
    """Every thing that is counted, with its kind."""
    return ((kind, name) for kind, (_, _, names, _) in KINDS.items() for name in names if name not in OTHER_USES)


@pytest.mark.parametrize(("kind", "name"), list(counted()))
def test_one_more_takes_few_places(kind: str, name: str) -> None:
    """None of them stands in more files than the goal of its kind, but for those that a rule or a table is about."""
    _, goal, _, places = KINDS[kind]
    found = places(name)
    most = goal + MORE.get(name, 0)
    assert found, f"{name} stands nowhere"
    assert len(found) <= most, sorted(found)


def test_exceptions_are_needed() -> None:
    """What may stand in more files than the goal does: else it is no exception any more."""
    needed = {name: len(places(name)) - goal for _, goal, names, places in KINDS.values() for name in names if name in MORE}
    assert needed == MORE


@pytest.mark.parametrize("kind", list(KINDS))
def test_contributing_shows_the_counts(kind: str) -> None:
    """The table of CONTRIBUTING has, for each kind, an example, in how many files it stands, and the goal."""
    example, goal, names, places = KINDS[kind]
    assert example in names
    assert f"| {kind} | `{example}` | {len(places(example))} | {goal} |" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
