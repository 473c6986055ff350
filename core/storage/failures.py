"""From what the database driver raises to the errors of core, by SQLSTATE."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import exc

from core.errors import BadData, Misconfigured, NotTrusted, StorageUnavailable, TollbookError

_DATA = ("21", "22", "23")  # cardinality, data exception, integrity constraint
_OPERATOR = ("28", "3D", "3F", "42")  # authorisation, no such database or schema, no such table or right
_TIMED_OUT = "canceling statement due to statement timeout"  # an operator may cancel one too, under the same SQLSTATE
_TIME_LIMIT = ": TOLLBOOK_STATEMENT_TIMEOUT_SECONDS is how long a query may take; commands that read much have no limit"
_LOGIN_REFUSED = re.compile(r"password authentication failed|no pg_hba.conf entry|(role|database) \"[^\"]*\" (does not exist|is not permitted)")
_NOT_TRUSTED = re.compile(r"certificate|private key file|does not support SSL")


UPGRADE = "check DATABASE_URL and run `tollbook db upgrade`"


@contextmanager
def translated(cure: str = UPGRADE) -> Iterator[None]:
    """Inside, the database driver's errors come out as errors of core.

    Args:
        cure: what helps where a table or a right is missing.

    Raises:
        BadData: the data is at fault; the rest is worth trying without it.
        Misconfigured: an operator must act first.
        StorageUnavailable: anything else; the same call may succeed later (NotTrusted: once a certificate is mended).
    """
    try:
        yield
    except exc.DBAPIError as error:
        raise _error_of(error.orig, cure) from error
    except psycopg.Error as error:  # of COPY, which goes past SQLAlchemy
        raise _error_of(error, cure) from error
    except exc.TimeoutError as error:
        raise StorageUnavailable("every database connection of this process is in use") from error


def _error_of(original: BaseException | None, cure: str) -> TollbookError:
    state = getattr(original, "sqlstate", None)
    message = f"{state or type(original).__name__}: {str(original).strip().splitlines()[0] if str(original).strip() else 'no message'}"
    if state is None:
        return BadData(message, "22000") if isinstance(original, psycopg.DataError) else _not_connected(message, str(original))
    if state.startswith(_DATA):
        return StorageUnavailable(message) if _has_moved(original) else BadData(message, state)
    if state.startswith(_OPERATOR):
        return Misconfigured(f"{message}; {cure}")
    return StorageUnavailable(message + _TIME_LIMIT if _TIMED_OUT in message else message)


def _not_connected(message: str, whole: str) -> TollbookError:
    if _LOGIN_REFUSED.search(whole):
        return Misconfigured(f"the database refuses the login: {message}; check DATABASE_URL")
    if _NOT_TRUSTED.search(whole):
        return NotTrusted(f"{message}; check sslmode and sslrootcert in its URL")
    return StorageUnavailable(message)


def _has_moved(original: BaseException | None) -> bool:
    """Whether a row went to a partition that took it no longer: one was attached for its month while the statement waited.

    A constraint that data breaks has a name, and a RAISE names no table. The next try finds the new partition.
    """
    return isinstance(original, psycopg.errors.CheckViolation) and original.diag.constraint_name is None and original.diag.table_name is not None
