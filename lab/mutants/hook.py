"""Makes this process run a mutant: modules are compiled from changed text, files are read with changes, databases are altered once made.

Nothing on disk is touched, no bytecode is kept, and a change that doesn't apply is an error, never a program without a fault.
"""

import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from lab.mutants.catalogue import MUTANTS
from lab.mutants.model import ROOT, Change, Mutant, NotApplicable

VARIABLE = "TOLLBOOK_TEST_MUTANT"
MIGRATE = "core/schema/migrate.py"
_AFTER_MIGRATION = "\nfrom lab.mutants.hook import after_migration\n\nupgrade = after_migration(upgrade)\n"


def chosen() -> Mutant | None:
    """The mutant that the environment names, if it names one.

    Raises:
        NotApplicable: there is none of this name.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    found = next((mutant for mutant in MUTANTS if mutant.name == name), None)
    if found is None:
        raise NotApplicable(f"there is no mutant {name}")
    return found


def become(mutant: Mutant) -> None:
    """From now on this process is the mutant; none of the modules that it changes may be loaded already.

    Raises:
        NotApplicable: a change doesn't fit the checkout, or comes too late.
    """
    modules = {module_of(change.path) for change in mutant.changes if change.path.endswith(".py")}
    modules |= {module_of(MIGRATE)} if mutant.ddl else set()
    if loaded := modules & sys.modules.keys():
        raise NotApplicable(f"{mutant.name}: {sorted(loaded)} were loaded before")
    for path in {change.path for change in mutant.changes}:
        changed(mutant, path, (ROOT / path).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, _Finder(mutant, modules))
    if any(not change.path.endswith(".py") for change in mutant.changes):
        _change_reading(mutant)


def changed(mutant: Mutant, path: str, text: str) -> str:
    """The text of a file as the mutant has it."""
    for change in _of(mutant, path):
        text = change.applied(text)
    return text + _AFTER_MIGRATION if mutant.ddl and path == MIGRATE else text


def after_migration(upgrade: Callable[..., Any]) -> Callable[..., Any]:
    """`upgrade`, and then what the mutant does to the database."""

    def altered(owner_url: str, *arguments: Any, **options: Any) -> Any:
        done = upgrade(owner_url, *arguments, **options)
        mutant = chosen()
        assert mutant is not None
        alter(owner_url, mutant)
        return done

    return altered


def alter(owner_url: str, mutant: Mutant) -> None:
    """Does to a database what the mutant does; what it takes away must be there."""
    import psycopg  # noqa: PLC0415 - not in every process

    with psycopg.connect(owner_url) as connection:
        for statement in mutant.ddl:
            connection.execute(statement.encode())


def module_of(path: str) -> str:
    """The name of the module in a file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _of(mutant: Mutant, path: str) -> list[Change]:
    return [change for change in mutant.changes if change.path == path]


class _Finder(MetaPathFinder):
    """Finds the modules that are changed, for a loader that changes them."""

    def __init__(self, mutant: Mutant, modules: set[str]) -> None:
        self._mutant, self._modules = mutant, modules

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        if fullname not in self._modules:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            raise NotApplicable(f"{self._mutant.name}: {fullname} is no source file")
        spec.loader = _Loader(self._mutant, fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Compiles a module from its changed text."""

    def __init__(self, mutant: Mutant, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        """See `SourceFileLoader`; no bytecode is read or written."""
        path = self.get_filename(fullname)
        text = self.get_data(path).decode()
        return compile(changed(self._mutant, Path(path).resolve().relative_to(ROOT).as_posix(), text), path, "exec", dont_inherit=True)


def _change_reading(mutant: Mutant) -> None:
    """What is read as text is read with the mutant's changes."""
    real = pathlib.Path.read_text
    files = {(ROOT / change.path): change.path for change in mutant.changes if not change.path.endswith(".py")}

    def read_text(self: Path, *arguments: Any, **options: Any) -> str:
        text = real(self, *arguments, **options)
        path = files.get(self.resolve())
        return text if path is None else changed(mutant, path, text)

    pathlib.Path.read_text = read_text  # type: ignore[method-assign]
