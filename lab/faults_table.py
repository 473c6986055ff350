"""The faults and bad inputs of `faults.toml`: the generated parts of docs/reliability.md."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("faults.toml")


@dataclass(frozen=True)
class Fault:
    """A fault or a bad input: what happens, what becomes of it, and what shows it.

    Attributes:
        tests: below `tests/`, as pytest names them.
        torture: faults of `tollbook torture`, by name.
        not_covered: what of it nothing shows, and why.
    """

    what: str
    becomes: str
    tests: tuple[str, ...] = ()
    torture: tuple[str, ...] = ()
    not_covered: str = ""


@cache
def faults() -> tuple[Fault, ...]:
    """Each fault; its place is its number."""
    return _read("fault")


@cache
def inputs() -> tuple[Fault, ...]:
    """Each bad input."""
    return _read("input")


def faults_table() -> str:
    """The faults as a table of Markdown."""
    lines = ["| | what happens | what becomes of it | shown by |", "|---|---|---|---|"]
    for number, fault in enumerate(faults(), 1):
        shown = [_linked(name) for name in fault.tests]
        if fault.torture:
            shown.append(f"torture: {', '.join(fault.torture)}")
        if fault.not_covered:
            shown.append(f"not covered: {fault.not_covered}")
        lines.append(f"| {number} | {fault.what} | {fault.becomes} | {'<br>'.join(shown)} |")
    return "\n".join(lines)


def inputs_table() -> str:
    """The bad inputs as a table of Markdown."""
    lines = ["| what comes | becomes | shown by |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {one.what} | {one.becomes} | {'<br>'.join(map(_linked, one.tests))} |" for one in inputs())])


def _read(kind: str) -> tuple[Fault, ...]:
    found = tomllib.loads(_FILE.read_text(encoding="utf-8"))[kind]
    return tuple(Fault(one["what"], one["becomes"], tuple(one["tests"]), tuple(one.get("torture", ())), one.get("not_covered", "")) for one in found)


def _linked(name: str) -> str:
    path, _, test = name.partition("::")
    return f"[{test.removeprefix('test_').replace('_', ' ')}](../tests/{path})"
