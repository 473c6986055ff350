"""From what the database driver raises to the errors of core, by SQLSTATE."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import exc

from core.errors import BadData, Misconfigured, NotLetIn, StorageUnavailable, TollbookError

_DATA = ("21", "22", "23")  # cardinality, data exception, integrity constraint
_REFUSED = ("28", "3D")  # authorisation, no such database
_OPERATOR = ("3F", "42")  # no such schema, no such table or right
_TIMED_OUT = "canceling statement due to statement timeout"  # an operator may cancel one too, under the same SQLSTATE
_TIME_LIMIT = ": TOLLBOOK_STATEMENT_TIMEOUT_SECONDS is how long a query may take; commands that read much have no limit"
# Whoever is refused before there is a session gets no SQLSTATE, only words; the last three lines are of poolers.
_LOGIN_REFUSED = re.compile(
    r"authentication failed|no password supplied|pg_hba.conf"
    r"|(role|database) \"[^\"]*\" (does not exist|is not permitted)"
    r"|no such (user|database)|Tenant or user not found"
)
_NOT_TRUSTED = re.compile(r"certificate|private key file|does not support SSL")
_NO_TRANSACTIONS = "not allowed in statement pooling mode"
_NO_RIGHT = "permission denied for database"  # 42501, in words as above
_NO_OPTIONS = "unsupported startup parameter"


UPGRADE = "check DATABASE_URL and run `tollbook db upgrade`"


@contextmanager
def translated(cure: str = UPGRADE) -> Iterator[None]:
    """Inside, the database driver's errors come out as errors of core.

    Args:
        cure: what helps where a table or a right is missing.

    Raises:
        BadData: the data is at fault; the rest is worth trying without it.
        Misconfigured: an operator must act first.
        NotLetIn: the login is refused in the middle of things.
        StorageUnavailable: anything else; the same call may succeed later.
    """
    try:
        yield
    except exc.DBAPIError as error:
        raise _error_of(error.orig, cure) from error
    except psycopg.Error as error:  # of COPY, which goes past SQLAlchemy
        raise _error_of(error, cure) from error
    except exc.TimeoutError as error:
        raise StorageUnavailable("every database connection of this process is in use") from error


def connection_failure(error: psycopg.Error, variable: str) -> TollbookError:
    """What the failure to open a connection means, for a URL that `variable` has.

    Returns:
        NotLetIn: the login or a certificate is refused, which an operator must change, or is changing. Misconfigured: it may not connect
        to this database. StorageUnavailable: anything else.
    """
    message = _message(error)
    if _NO_RIGHT in str(error):
        return Misconfigured(f"{message}; the login of {variable} lacks CONNECT: run `tollbook db upgrade`")
    if (error.sqlstate or "").startswith(_REFUSED) or _LOGIN_REFUSED.search(str(error)):
        return NotLetIn(f"the database refuses the login: {message}; check {variable}")
    if _NOT_TRUSTED.search(str(error)):
        return NotLetIn(f"{variable}: {message}; check sslmode and sslrootcert in it")
    return StorageUnavailable(message)


def refuses_options(error: psycopg.Error) -> bool:
    """Whether a pooler doesn't take settings of the session at the start of a connection."""
    return _NO_OPTIONS in str(error)


def _error_of(original: BaseException | None, cure: str) -> TollbookError:
    state = getattr(original, "sqlstate", None)
    message = _message(original)
    if state is None:
        return BadData(message, "22000") if isinstance(original, psycopg.DataError) else StorageUnavailable(message)
    if state.startswith(_DATA):
        return StorageUnavailable(message) if _has_moved(original) else BadData(message, state)
    if state.startswith(_REFUSED):
        return NotLetIn(message)
    if _NO_TRANSACTIONS in message:
        return Misconfigured(f"{message}: a pooler before PostgreSQL needs pool_mode = transaction")
    if state.startswith(_OPERATOR):
        return Misconfigured(f"{message}; {cure}")
    return StorageUnavailable(message + _TIME_LIMIT if _TIMED_OUT in message else message)


def _has_moved(original: BaseException | None) -> bool:
    """Whether a row went to a partition that took it no longer: one was attached for its month while the statement waited.

    A constraint that data breaks has a name, and a RAISE names no table. The next try finds the new partition.
    """
    return isinstance(original, psycopg.errors.CheckViolation) and original.diag.constraint_name is None and original.diag.table_name is not None


def _message(error: BaseException | None) -> str:
    """One line: of several hosts that were tried in vain, what became of each."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    tried = [line.removeprefix("- ") for line in lines if line.startswith("- host:")]
    return f"{getattr(error, 'sqlstate', None) or type(error).__name__}: {'; '.join(tried) or next(iter(lines), 'no message')}"
