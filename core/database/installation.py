"""Whose books these are: a name, and where they lie, which a restored copy has otherwise."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

_HERE = text("""
    SELECT system_identifier, (SELECT CAST(oid AS bigint) FROM pg_database WHERE datname = current_database()) AS database_oid
      FROM pg_control_system()
""")
_TAKE = text("""
    UPDATE installation SET name = :name, system_identifier = :system_identifier, database_oid = :database_oid WHERE system_identifier IS NULL
""")
_ADOPT = text("UPDATE installation SET name = :name, system_identifier = :system_identifier, database_oid = :database_oid")
_READ = text("SELECT name, system_identifier, database_oid FROM installation")


@dataclass(frozen=True, slots=True)
class Identity:
    """An installation: its name, its PostgreSQL cluster's system identifier, its database's oid in it."""

    name: str
    system_identifier: int
    database_oid: int

    def __str__(self) -> str:
        return f"{self.name}/{self.system_identifier}/{self.database_oid}"


def identity_here(connection: Connection, name: str) -> Identity:
    """What books of this name in this database are."""
    return Identity(name=name, **connection.execute(_HERE).mappings().one())


def identity_of_books(connection: Connection, here: Identity) -> Identity:
    """Whose the books say that they are; those that say nothing yet are `here` from now on. Race-free."""
    read = connection.execute(_READ).mappings().one()
    if read["system_identifier"] is None:
        connection.execute(_TAKE, _columns(here))
        read = connection.execute(_READ).mappings().one()
    return Identity(**read)


def identity_written(connection: Connection) -> Identity | None:
    """Whose the books say that they are; none if they say nothing yet. Nothing is written."""
    read = connection.execute(_READ).mappings().one()
    return None if read["system_identifier"] is None else Identity(**read)


def adopt_books(connection: Connection, here: Identity) -> Identity | None:
    """The books are `here` from now on, whatever they said; under the owner's login. Returns what they said."""
    read = connection.execute(_READ).mappings().one()
    connection.execute(_ADOPT, _columns(here))
    return None if read["system_identifier"] is None else Identity(**read)


def _columns(identity: Identity) -> dict[str, object]:
    return {"name": identity.name, "system_identifier": identity.system_identifier, "database_oid": identity.database_oid}
