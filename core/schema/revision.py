"""At which revision a database is, and at which this program: asked at each start, so without loading what migrates."""

import re
from functools import cache
from importlib.resources import files

from sqlalchemy import Connection, text

from core.errors import Misconfigured

_HAS_REVISION = text("SELECT to_regclass('public.alembic_version') IS NOT NULL")
_REVISION = text("SELECT version_num FROM public.alembic_version")
_DECLARED = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)


def head() -> str:
    """The newest revision that this program has."""
    return _known()[-1]


def later_than(revision: str) -> list[str]:
    """The revisions of this program that come after one of them."""
    return _known()[_known().index(revision) + 1 :]


def revision_of(connection: Connection) -> str | None:
    """The revision that the database is at; none where nothing was ever made in it."""
    if not connection.execute(_HAS_REVISION).scalar_one():
        return None
    revision: str | None = connection.execute(_REVISION).scalar_one_or_none()
    return revision


def require_current(connection: Connection) -> None:
    """Returns if the database is at this program's revision.

    Raises:
        Misconfigured: it is not; the message names what helps.
    """
    revision = revision_of(connection)
    if revision != head():
        raise Misconfigured(trouble_with(revision))


def require_known(revision: str | None) -> None:
    """Returns if this program knows the revision, or there is none.

    Raises:
        Misconfigured: it is a newer program's.
    """
    if revision is not None and revision not in _known():
        raise Misconfigured(trouble_with(revision))


def trouble_with(revision: str | None) -> str:
    """What is wrong with a database at a revision that isn't this program's, and what helps."""
    if revision is not None and revision not in _known():
        return f"the database is at revision {revision}, which this program doesn't know: it was upgraded by a newer one, which must be used"
    return f"the database is at revision {revision or 'none'}, this program needs {head()}: run `tollbook db upgrade`"


@cache
def _known() -> list[str]:
    """All revisions, in the order of their files, which is that in which they run."""
    scripts = [one for one in (files("core.schema") / "migrations" / "versions").iterdir() if one.name.endswith(".py")]
    texts = [one.read_text(encoding="utf-8") for one in sorted(scripts, key=lambda one: one.name)]
    return [found[1] for text_of in texts if (found := _DECLARED.search(text_of)) is not None]
