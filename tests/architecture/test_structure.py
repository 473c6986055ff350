"""The house keeps its shape: sizes, docstrings, names, and what a reader of the tree may rely on."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from celery.app.defaults import SETTING_KEYS
from kombu.transport.redis import PRIORITY_STEPS as KOMBU_STEPS
from kombu.transport.redis import Channel

from core.schema import migrate
from tests.conftest import DatabaseUrls
from worker.intake.redis_source import PRIORITY_SEPARATOR, PRIORITY_STEPS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "tasks", "worker", "cli", "lab", "tests", "clients/python/tollbook_client")
MODULE_LINES_MAX, TEST_LINES_MAX, FUNCTION_LINES_MAX = 300, 600, 50


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Every Python file of the project with its syntax tree."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, methods and inner ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_module_is_long() -> None:
    """A module has at most 300 lines, a test module 600."""
    sizes = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path, _ in modules()}
    long = {str(path): n for path, n in sizes.items() if n > (TEST_LINES_MAX if path.parts[0] == "tests" else MODULE_LINES_MAX)}
    assert long == {}


def test_no_function_is_long() -> None:
    """A function fits a screen: at most 50 lines, its docstring included."""
    long = {
        f"{path}:{function.name}": lines
        for path, tree in modules()
        for function in functions(tree)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_every_test_states_its_fact() -> None:
    """Each test has a docstring that says what it proves."""
    silent = [
        f"{path}:{function.name}"
        for path, tree in modules()
        for function in functions(tree)
        if path.name.startswith("test_") and function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_sql_is_written_in_its_own_modules() -> None:
    """Nobody imports SQLAlchemy's `text` but a folder's `sql`, what connects (`database`), and what makes the tables (`schema`)."""
    own = {("core", "database"), ("core", "schema")}
    writing = [
        str(path)
        for path, tree in modules()
        if path.parts[0] in ("core", "tasks", "worker", "cli") and path.parts[:2] not in own and not {"sql", "sql.py"} & set(path.parts)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy") and "text" in [alias.name for alias in node.names]
    ]
    assert writing == []


def test_the_picture_shows_the_contract() -> None:
    """The order of the folders in docs/architecture.md is that of the import contract, and every folder of core is in it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (order,) = [contract["layers"][::-1] for contract in contracts if contract.get("containers") == ["core"]]
    arrows = re.findall(r"^ {8}(\w+)(?:\[.*\])? --> (\w+)", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert arrows == list(pairwise([folder for folder in order if folder not in ("errors", "config")]))
    assert {path.name for path in (ROOT / "core").iterdir() if (path / "__init__.py").exists()} == set(order) - {"errors", "config"}


def test_the_ways_of_the_architecture_are_there() -> None:
    """Every file that docs/architecture.md names exists."""
    named = re.findall(r"`((?:core|worker|tasks|cli)/[\w/]+(?:\.py)?)`", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_tasks_are_found_and_know_nothing_of_each_other() -> None:
    """Celery imports every module of `tasks`, with no list of them; one that has tasks is imported by no other."""
    assert "tasks." not in (ROOT / "celeryconfig.py").read_text(encoding="utf-8").replace('f"tasks.{module.name}"', "").replace("tasks.__path__", "")
    own = {path.stem: tree for path, tree in modules() if path.parts[0] == "tasks" and path.stem != "__init__"}
    doors = {name for name, tree in own.items() if "shared_task" in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}}
    assert len(doors) > 10
    imported = {node.module for tree in own.values() for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported & {f"tasks.{name}" for name in doors} == set()


def test_the_oracle_knows_nothing_of_the_program() -> None:
    """The oracle imports the standard library and itself alone."""
    known = {*sys.stdlib_module_names, "lab.oracle"}
    foreign = [
        f"{path}: {name}"
        for path, tree in modules()
        if path.parts[:2] == ("lab", "oracle")
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if not {name.split(".")[0], ".".join(name.split(".")[:2])} & known
    ]
    assert foreign == []


def test_persons_are_they_or_a_role() -> None:
    """No docstring and no comment of the program says of somebody "he" or "she"."""
    word = re.compile(r"\b(he|him|his|himself|she|her|hers|herself)\b", re.IGNORECASE)
    said = [
        f"{path}:{number}"
        for path, _ in modules()
        if path.parts[0] in ("core", "tasks", "worker", "cli") and "versions" not in path.parts
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if word.search(line)
    ]
    assert said == []


def test_what_everything_may_raise_is_said_once() -> None:
    """`core/errors.py` says what whoever is given a database or an actor may raise; no docstring repeats its sentences."""
    common = ("Forbidden: the actor is not root.", "Misconfigured: only an operator can help.", "StorageUnavailable: the database can't answer now.")
    repeated = {
        sentence: sum(
            sentence in line for path, _ in modules() if path.parts[0] == "core" for line in (ROOT / path).read_text(encoding="utf-8").splitlines()
        )
        for sentence in common
    }
    assert max(repeated.values()) <= 1, repeated


def test_errors_carry_their_field() -> None:
    """A refusal that is about a field says so in `field`, not only in its text."""
    refusals = {"RequestRefused", "NotFound", "Conflict", "Forbidden"}
    in_text = [
        f"{path}:{node.lineno}"
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in refusals and node.args
        if not any(keyword.arg == "field" for keyword in node.keywords)
        if re.match(r"f?['\"][a-z_]+: ", ast.unparse(node.args[0])) and path.parts[0] != "tests"
    ]
    assert in_text == []


def test_no_error_text_is_edited() -> None:
    """What an error says is made in one place: nobody takes its text, or pydantic's, and changes it."""
    edits = {"replace", "removeprefix", "removesuffix"}
    edited = [
        f"{path}:{node.lineno}"
        for path, tree in modules()
        if path.parts[0] in ("core", "tasks", "worker", "cli")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in edits
        if re.search(r"^str\((\w*error|refused|rejection|refusal\(.*\))\)$|\b(detail|reason|message|msg)\b", ast.unparse(node.func.value))
    ]
    assert edited == []


def test_every_celery_setting_is_known() -> None:
    """Each name that celeryconfig.py sets is a setting of Celery, which would ignore a mistyped one silently."""
    tree = ast.parse((ROOT / "celeryconfig.py").read_text(encoding="utf-8"))
    names = {target.id for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}
    assert {name for name in names if not name.startswith("_")} <= SETTING_KEYS


def test_the_queue_lists_are_kombus() -> None:
    """The lists that the intake empties are those that kombu fills for each priority, with whatever steps."""
    assert Channel.sep == PRIORITY_SEPARATOR
    assert set(KOMBU_STEPS) <= set(PRIORITY_STEPS)


def test_migrations_and_models_say_the_same(database_urls: DatabaseUrls) -> None:
    """A database made by the migrations has exactly the tables that the models describe."""
    assert migrate.check(database_urls.owner) == []


def test_lock_files_follow_the_project() -> None:
    """Each requirement of pyproject.toml is in the lock, every line of it has a hash, and no package host is named."""
    declared = re.findall(r'^ {4}"([a-z0-9-]+)(?:\[[a-z,]+\])?>=', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    for name in ("requirements.lock", "requirements-dev.lock"):
        lock = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in lock
        pins = re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==", lock, re.MULTILINE)
        assert lock.count("--hash=sha256:") >= len(pins) > 20
    assert set(declared) <= set(pins)


@pytest.mark.parametrize("folder_name", ["clients/node", "tests/delivery/producers"])
def test_the_producers_packages_are_locked(folder_name: str) -> None:
    """Each package of Node.js that the tests install stands in the lock with a version and a hash, and no package host is named."""
    folder = ROOT / folder_name
    lock = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))
    root = lock["packages"].pop("")
    assert root["dependencies"] == json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert [name for name, package in lock["packages"].items() if "resolved" in package or not package["integrity"].startswith("sha512-")] == []
    assert "://" not in (folder / ".npmrc").read_text(encoding="utf-8")


@pytest.mark.parametrize("pattern", [r"/(home|root|Users)/\w", r"\bTODO\b", r"\bFIXME\b"])
def test_nothing_foreign_is_in_the_tree(pattern: str) -> None:
    """No tracked source names a folder of somebody's machine or leaves work for later."""
    tracked = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", "*.yml", "*.lua", "*.sql", "Makefile"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = [
        name
        for name in tracked.stdout.split()
        if name != "tests/architecture/test_structure.py" and (ROOT / name).exists() and re.search(pattern, (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert found == []
