"""What a look finds: how bad it is, what it is, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """`error`: money may be lost, or work stands still. `warning`: it may come to that. `skipped`: it couldn't be looked at."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a look found; `cure` is a command or a setting, empty where there is nothing to do."""

    severity: Severity
    what: str
    cure: str = ""


def ok(what: str) -> Finding:
    """All is well, and what was seen."""
    return Finding(Severity.OK, what)


def warning(what: str, cure: str) -> Finding:
    """Something that may become worse."""
    return Finding(Severity.WARNING, what, cure)


def error(what: str, cure: str) -> Finding:
    """Something that must be set right."""
    return Finding(Severity.ERROR, what, cure)


def skipped(what: str, cure: str = "") -> Finding:
    """Something that couldn't be looked at, and why."""
    return Finding(Severity.SKIPPED, what, cure)
