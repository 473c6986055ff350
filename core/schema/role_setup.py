"""Making the roles as they are declared, as far as the owner's login may; the rest is SQL for an administrator."""

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from core.errors import Misconfigured, NeedsAdministrator
from core.schema.rights import differences, strangers
from core.schema.roles import Roles, databases_elsewhere, is_member, logins_in, missing, new_roles, quoted, write_down

_DENIED = "42501"  # insufficient_privilege
_ROUNDS_MAX = 3  # a REVOKE of a whole table takes rights on its columns along, which the next round gives again
RENAME = "`tollbook db upgrade --rename-roles` gives this database roles of its own"


def require_owned(connection: Connection) -> None:
    """Returns if what is the books' belongs to the present login.

    Raises:
        NeedsAdministrator: it doesn't, as after a restore by a superuser.
    """
    found = strangers(connection)
    if found:
        login = connection.execute(text("SELECT current_user")).scalar_one()
        raise NeedsAdministrator(
            f"DATABASE_OWNER_URL's login {login} doesn't own the tables, {found[0].owner} does: use that login, or, if {login} shall own them",
            [f"ALTER {one.kind} public.{one.name} OWNER TO {quoted(connection, login)}" for one in found],
        )


def prepare(connection: Connection, roles: Roles, *, new: bool) -> None:
    """Both roles exist. In a `new` database they must not be another's.

    Raises:
        NeedsAdministrator: the present login may not make them; nothing was changed.
        Misconfigured: the roles of a new database are used in another one.
    """
    elsewhere = databases_elsewhere(connection, roles) if new else []
    if elsewhere:
        raise Misconfigured(
            f"roles {roles.worker} and {roles.reader} have rights in database {', '.join(elsewhere)}: set TOLLBOOK_DATABASE_ROLES to another"
            " beginning of their names"
        )
    left = _run(connection, [f"CREATE ROLE {quoted(connection, role)} NOLOGIN" for role in missing(connection, roles)])
    if left:
        raise NeedsAdministrator("DATABASE_OWNER_URL's login may not make the roles", left)


def repair(connection: Connection, roles: Roles, login: str | None = None) -> list[str]:
    """The roles have exactly the rights that are declared, and `login` is in the worker's role.

    Returns:
        The SQL for an administrator that is still needed: none if all is done.

    Raises:
        Misconfigured: the worker's role has rights in another database, where `login` has had none so far.
    """
    for _ in range(_ROUNDS_MAX):
        statements = differences(connection, roles).statements(connection)
        if not statements:
            break
        _run(connection, statements)
    left = differences(connection, roles).statements(connection)
    if login is not None and not is_member(connection, login, roles.worker):
        elsewhere = databases_elsewhere(connection, roles)
        if elsewhere:
            raise Misconfigured(f"role {roles.worker} has rights in database {', '.join(elsewhere)}, too, and {login} is no member of it: {RENAME}")
        left += _run(connection, [f"GRANT {quoted(connection, roles.worker)} TO {quoted(connection, login)}"])
    return left


def rename(connection: Connection, old: Roles, prefix: str, login: str | None) -> tuple[Roles, list[str]]:
    """Gives the database roles of its own name. Roles that another database uses, too, stay there, and lose their rights here.

    Returns:
        The roles from now on, and SQL for an administrator: what the present login may not do, and whom to take out of the old roles.

    Raises:
        NeedsAdministrator, Misconfigured: as `prepare`.
    """
    new = new_roles(connection, prefix)
    if new == old:
        return old, []
    shared = databases_elsewhere(connection, old)
    pairs = [(quoted(connection, a), quoted(connection, b)) for a, b in ((old.worker, new.worker), (old.reader, new.reader))]
    if not shared and missing(connection, new) == [new.worker, new.reader]:
        left = _run(connection, [f"ALTER ROLE {a} RENAME TO {b}" for a, b in pairs])
        if left:
            raise NeedsAdministrator("DATABASE_OWNER_URL's login may not rename the roles", left)
        write_down(connection, new)
        return new, []
    prepare(connection, new, new=True)
    write_down(connection, new)
    _run(connection, differences(connection, old, none=True).statements(connection))
    left = differences(connection, old, none=True).statements(connection)
    if login in logins_in(connection, old.worker):
        left.append(f"REVOKE {pairs[0][0]} FROM {quoted(connection, login or '')}  -- unless it works in {', '.join(shared) or 'no database'}, too")
    return new, left


def troubles(connection: Connection, roles: Roles, login: str | None) -> list[str]:
    """What of the roles is not as it must be, one line each with its cure."""
    lines = [f"role {role} doesn't exist: run `tollbook db upgrade`" for role in missing(connection, roles)]
    lines += [f"{line}: run `tollbook db upgrade`" for line in differences(connection, roles).lines()]
    if login is not None and roles.worker not in missing(connection, roles):
        if not is_member(connection, login, roles.worker):
            lines.append(f"DATABASE_URL's login {login} is not in role {roles.worker}: run `tollbook db upgrade`")
        others = [other for other in logins_in(connection, roles.worker) if other != login]
        elsewhere = databases_elsewhere(connection, roles)
        if others and elsewhere:
            lines.append(f"role {roles.worker} has rights in database {', '.join(elsewhere)}, too, and lets {', '.join(others)} in: {RENAME}")
    return lines


def _run(connection: Connection, statements: list[str]) -> list[str]:
    """Runs each statement that the login may run, and returns the others."""
    refused = []
    for statement in statements:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(statement.replace("%", "%%"))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _DENIED:
                raise
            refused.append(statement)
    return refused
