"""Every error that core raises on purpose.

Whatever is given a database may raise StorageUnavailable (the same call may succeed later, and replaying it is safe) and Misconfigured;
whatever is given an actor may raise Forbidden. A docstring names those only where it says more about them.

TollbookError
├── StorageUnavailable   try again later: nothing was written, or it is not known whether it was
│   └── NotLetIn         the database and we don't accept each other: before we were ever let in it is Misconfigured
├── BadData              the database refused this data: trying again cannot help, bisect
├── Misconfigured        only an operator can help: wrong password, missing table, missing right
│   └── NeedsAdministrator  only an administrator of the database server can: the SQL is with it
└── RequestRefused       the caller asked for something that the rules forbid
    ├── NotFound         the caller named something that does not exist
    ├── Forbidden        the caller may not ask for this, whatever there is
    ├── LinesRefused     lines of what was brought are wrong: each is named
    └── Conflict         somebody was first: the key was used with other content, the version is another one
"""

from collections.abc import Sequence


class TollbookError(Exception):
    """Root of the tree: catch it to catch everything that core raises on purpose."""


class StorageUnavailable(TollbookError):
    """The database can't answer now; the same call may succeed later. Replaying it is safe."""


class NotLetIn(StorageUnavailable):
    """A login or a certificate that was accepted before is refused: it is being changed, or the database restored."""


class BadData(TollbookError):
    """The database refused the data itself (SQLSTATE classes 21, 22 and 23)."""

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Misconfigured(TollbookError):
    """Something that only an operator can set right; the message says what to do."""


class NeedsAdministrator(Misconfigured):
    """Something that only an administrator of the database server may do: `statements` is the SQL."""

    def __init__(self, message: str, statements: list[str]) -> None:
        super().__init__(message)
        self.statements = statements


class RequestRefused(TollbookError):
    """A rule forbids what was asked; the message names the rule, the field and the value.

    `field` is the (first) one that is wrong, `value` what it had; empty and None where it is about no field. `reason` is the
    message without the field in front.
    """

    def __init__(self, reason: str, *, field: str = "", value: object = None) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason, self.field, self.value = reason, field, value


class NotFound(RequestRefused):
    """What was named does not exist."""


class Forbidden(RequestRefused):
    """Whoever asked may not: the message says as whom, and for what."""


class LinesRefused(RequestRefused):
    """What was brought in has faults, so that nothing of it was taken over: `lines` name every one, with field, value and what helps."""

    def __init__(self, reason: str, lines: Sequence[str]) -> None:
        super().__init__(reason, field="lines", value=len(lines))
        self.lines = tuple(lines)


class Conflict(RequestRefused):
    """What was asked contradicts what somebody did before: a key used with other content, a version that is no longer the present one."""
