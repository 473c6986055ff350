"""Running the looks: side by side, each with a limit of its own, so that one which fails or hangs never stops the others."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from core.errors import TollbookError
from worker.doctor.finding import Finding, Severity, error, skipped
from worker.doctor.subject import Subject

_CURES = ("; run ", ": run ", "; check ", ": check ", "; see ", ": see ", ": set ", "; grant ", "; use ", ": use ", ": export ")
NOT_LOOKED_AT = "not looked at,"
LOOK_SECONDS = 25.0  # beyond the limits of the clients: to connect, and for one answer


@dataclass(frozen=True, slots=True)
class Look:
    """One look: what it is called, what it does, which others must have found no error before it makes sense, and which are only to come first."""

    name: str
    find: Callable[[Subject], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A finding, and the look that has it."""

    look: str
    severity: Severity
    what: str
    cure: str


@dataclass(slots=True)
class _Running:
    look: Look
    findings: list[Finding] = field(default_factory=list)
    thread: threading.Thread | None = None


def examine(subject: Subject, looks: Sequence[Look], *, seconds: float = LOOK_SECONDS) -> list[Told]:
    """What all looks find, in their order. Nothing is written, and it takes at most `seconds` for each step of needs.

    Args:
        subject: what is looked at.
        looks: none waits for one that isn't among them.
        seconds: how long one look may take before it counts as an error; its thread is left behind, as a daemon.
    """
    done: dict[str, list[Finding]] = {}
    left = list(looks)
    while left:
        now = [look for look in left if all(name in done for name in (*look.needs, *look.after))]
        assert now, f"needs that nobody meets: {[look.name for look in left]}"
        left = [look for look in left if look not in now]
        running = [_started(subject, look, done) for look in now]
        deadline = monotonic() + seconds
        for one in running:
            done[one.look.name] = _ended(one, deadline, seconds)
    return [
        Told(look.name, found.severity, subject.without_secrets(found.what), subject.without_secrets(found.cure))
        for look in looks
        for found in done[look.name]
    ]


def _started(subject: Subject, look: Look, done: dict[str, list[Finding]]) -> _Running:
    running = _Running(look)
    bad = [need for need in look.needs if {found.severity for found in done[need]} & {Severity.ERROR, Severity.SKIPPED}]
    if bad:
        running.findings.append(skipped(f"{NOT_LOOKED_AT} because of {bad[0]}"))
        return running
    running.thread = threading.Thread(target=_find, args=(subject, running), name=f"doctor-{look.name}", daemon=True)
    running.thread.start()
    return running


def _ended(running: _Running, deadline: float, seconds: float) -> list[Finding]:
    """What was found by then; a look that still runs may find more later, which nobody reads."""
    if running.thread is not None:
        running.thread.join(max(0.0, deadline - monotonic()))
        if running.thread.is_alive():
            hangs = error(
                f"no answer within {seconds:g} s", "see whether something between takes what is sent and delivers nothing (a firewall, a proxy)"
            )
            return [*running.findings, hangs]
    return list(running.findings)


def _find(subject: Subject, running: _Running) -> None:
    try:
        for found in running.look.find(subject):
            running.findings.append(found)
    except TollbookError as failure:
        what, cure = split_cure(str(failure))
        running.findings.append(error(what, cure))
    except SystemExit as refusal:
        running.findings.append(error(f"it ended the process ({refusal.code})", "see the line on standard error"))
    except Exception as failure:  # noqa: BLE001 - whatever a look meets, the others go on
        running.findings.append(error(f"the look itself failed: {type(failure).__name__}: {failure}", "see the other findings; else report it"))


def split_cure(message: str) -> tuple[str, str]:
    """An error's message as what is wrong and what to do, where it tells both."""
    for mark in _CURES:
        what, found, cure = message.rpartition(mark)
        if found:
            return what, mark.lstrip(":; ") + cure
    return message, ""
