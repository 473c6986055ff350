"""How the tables and roles stand, as the worker's login alone can tell; `core.schema.migrate.check` tells more under the owner's."""

from sqlalchemy import Connection, text

from core.schema.revision import head, revision_of, trouble_with
from core.schema.role_setup import troubles
from core.schema.roles import roles_of

_MAY_CHANGE = text("SELECT has_table_privilege('public.transactions', 'UPDATE, DELETE, TRUNCATE')")


def troubles_of_revision(connection: Connection) -> list[str]:
    """What is wrong with the revision of the tables, with its cure: nothing if it is this program's."""
    revision = revision_of(connection)
    return [] if revision == head() else [trouble_with(revision)]


def troubles_of_roles(connection: Connection, login: str | None) -> list[str]:
    """What of the roles is not as it must be, one line each with its cure, at this program's revision.

    Args:
        connection: under any login that may read the catalogue.
        login: the worker's, where it must be in the worker's role; none where it owns the tables.
    """
    return troubles(connection, roles_of(connection), login)


def may_change_entries(connection: Connection) -> bool:
    """Whether the present login may update or remove entries of the ledger, as a superuser or the owner may."""
    may: bool = connection.execute(_MAY_CHANGE).scalar_one()
    return may
