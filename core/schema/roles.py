"""The roles of one database's books: what they are called, who may do their work, and roles that were made elsewhere.

Roles belong to PostgreSQL's whole cluster. Those of two books in one cluster have different names, or else the login of one could
write into the other.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event, text

from core.errors import Misconfigured

_NAME_BYTES_MAX = 63  # PostgreSQL cuts longer names off, so that two of them could become one

_KNOWN = text("SELECT to_regclass('public.alembic_version') IS NOT NULL AS books, to_regclass('public.installation') IS NOT NULL AS named")
_NAMED = text("SELECT worker_role AS worker, reader_role AS reader FROM public.installation")
_NAME = text("UPDATE public.installation SET worker_role = :worker, reader_role = :reader")
_EXISTS = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
_MEMBER = text("SELECT pg_has_role(:login, :role, 'MEMBER')")
_MEMBERS = text("""
    SELECT l.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles l ON l.oid = m.member
     WHERE r.rolname = :role AND l.rolcanlogin AND pg_has_role(l.oid, r.oid, 'USAGE') AND l.rolname <> current_user ORDER BY 1
""")

# Rights on a database are written down for the cluster (dbid 0), rights in it for the database.
_ELSEWHERE = text("""
    SELECT DISTINCT b.datname FROM pg_shdepend d
      JOIN pg_roles r ON d.refclassid = 'pg_authid'::regclass AND r.oid = d.refobjid
      JOIN pg_database b ON b.oid = CASE WHEN d.classid = 'pg_database'::regclass THEN d.objid ELSE d.dbid END
     WHERE r.rolname IN (:worker, :reader) AND b.datname <> current_database()
     ORDER BY 1
""")


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of the role that does a worker's work, and of the one that only reads."""

    worker: str
    reader: str


FIRST = Roles("tollbook_worker", "tollbook_reader")  # of every database until each had its own


def roles_of(connection: Connection, prefix: str = "") -> Roles:
    """The roles of this database's books; for a database without books those that it would get, by `new_roles`.

    Raises:
        Misconfigured: new names would be too long.
    """
    known = connection.execute(_KNOWN).one()
    if known.named:
        return Roles(**connection.execute(_NAMED).mappings().one())
    return FIRST if known.books else new_roles(connection, prefix)


def new_roles(connection: Connection, prefix: str = "") -> Roles:
    """The names of roles that a database gets now: they begin with `prefix`, by default with the database's name.

    Raises:
        Misconfigured: they would be too long.
    """
    begin = prefix or connection.execute(text("SELECT current_database()")).scalar_one()
    roles = Roles(f"{begin}_worker", f"{begin}_reader")
    if len(roles.worker.encode()) > _NAME_BYTES_MAX:
        raise Misconfigured(f"{roles.worker} is too long for the name of a role: set TOLLBOOK_DATABASE_ROLES to a shorter beginning")
    return roles


def databases_elsewhere(connection: Connection, roles: Roles) -> list[str]:
    """Other databases of the cluster in which one of the roles has rights."""
    return list(connection.execute(_ELSEWHERE, {"worker": roles.worker, "reader": roles.reader}).scalars())


def missing(connection: Connection, roles: Roles) -> list[str]:
    """Those of the roles that the cluster doesn't have."""
    return [role for role in (roles.worker, roles.reader) if not connection.execute(_EXISTS, {"role": role}).scalar_one()]


def is_member(connection: Connection, login: str, role: str) -> bool:
    """Whether a login may do what a role may; false where either doesn't exist."""
    if not all(connection.execute(_EXISTS, {"role": name}).scalar_one() for name in (login, role)):
        return False
    return bool(connection.execute(_MEMBER, {"login": login, "role": role}).scalar_one())


def logins_in(connection: Connection, role: str) -> list[str]:
    """The logins that have a role's rights by being members themselves, but for the present one, which may have made it."""
    return list(connection.execute(_MEMBERS, {"role": role}).scalars())


def write_down(connection: Connection, roles: Roles) -> None:
    """From now on these are the roles of this database's books."""
    connection.execute(_NAME, {"worker": roles.worker, "reader": roles.reader})


def quoted(connection: Connection, name: str) -> str:
    """A name as SQL takes it."""
    quoted_name: str = connection.dialect.identifier_preparer.quote(name)
    return quoted_name


@contextmanager
def called(connection: Connection, roles: Roles) -> Iterator[None]:
    """Inside, SQL that names the first roles means these: revisions that are released name them and never change."""
    if roles == FIRST:
        yield
        return

    def rename(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
        return _renamed(connection, statement, roles), parameters

    event.listen(connection, "before_cursor_execute", rename, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", rename)


def _renamed(connection: Connection, statement: str, roles: Roles) -> str:
    """The statement with the roles' names in it; `'name'` is a text there, and `name` a role."""
    for first, name in ((FIRST.worker, roles.worker), (FIRST.reader, roles.reader)):
        as_text, as_role = "'" + name.replace("'", "''") + "'", quoted(connection, name)
        statement = re.sub(rf"'{first}'|\b{first}\b", lambda m, t=as_text, r=as_role: t if m[0][0] == "'" else r, statement)  # type: ignore[misc]
    return statement
