"""How a command ends: one exit code for each kind of mistake, and the word for it in the error that a program is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import BadData, Conflict, Forbidden, LinesRefused, Misconfigured, NotFound, RequestRefused, StorageUnavailable

DONE = 0
FAILED = 1
USAGE = 2
REFUSED = 3
NOT_FOUND = 4
CONFLICT = 5
FORBIDDEN = 6
AWAY = 7
MISCONFIGURED = 78  # as a worker's, EX_CONFIG of sysexits.h
INTERRUPTED = 130  # 128 and SIGINT, as shells tell it


@dataclass(frozen=True, slots=True)
class Ending:
    """A way to end: the exit code, `error.kind` of the JSON (empty where there is no error), and what it means."""

    code: int
    kind: str
    meaning: str


ENDINGS: Sequence[Ending] = (
    Ending(DONE, "", "done"),
    Ending(FAILED, "failed", "it failed, or what was looked at is not in order: `verify`, `reconcile`, `db check`, lines that were left out"),
    Ending(FAILED, "refused", "a rule forbids it: a value out of bounds, more than is left; nothing was written"),
    Ending(FAILED, "lines_refused", "lines of a file are wrong, each is named; nothing was written"),
    Ending(USAGE, "usage", "the command line can't be understood"),
    Ending(REFUSED, "", "`check` or `hold` refuses the call; the answer is on standard output"),
    Ending(NOT_FOUND, "not_found", "what was named does not exist"),
    Ending(CONFLICT, "conflict", "somebody was first: the key was used with other content, the version is another one, it is at work already"),
    Ending(FORBIDDEN, "forbidden", "whom `--as` names may not"),
    Ending(AWAY, "unavailable", "the database or the broker can't be reached: the same command may succeed later, and is safe to repeat"),
    Ending(MISCONFIGURED, "misconfigured", "only an operator can help: a setting, a password, tables of another revision"),
    Ending(INTERRUPTED, "interrupted", "interrupted from the keyboard"),
)
_CODES = {ending.kind: ending.code for ending in ENDINGS if ending.kind}
_KINDS: Sequence[tuple[type[BaseException], str]] = (
    (LinesRefused, "lines_refused"),
    (NotFound, "not_found"),
    (Forbidden, "forbidden"),
    (Conflict, "conflict"),
    (RequestRefused, "refused"),
    (StorageUnavailable, "unavailable"),
    (Misconfigured, "misconfigured"),
    (BadData, "refused"),
    (ConnectionError, "unavailable"),
)


def kind_of(error: BaseException) -> str:
    """The word for this error."""
    return next((kind for type_, kind in _KINDS if isinstance(error, type_)), "failed")


def code_of(kind: str) -> int:
    """The exit code of this kind of mistake."""
    return _CODES[kind]
