"""The reader's login, and the functions that run under the owner's rights: the forbidden, tried."""

import pytest
from sqlalchemy import Connection, text

from core.database.database import Database
from core.schema.rights import WRITES
from tests.conftest import Rows


def _as_reader(connection: Connection, sql: str) -> None:
    connection.execute(text("SET LOCAL ROLE tollbook_reader"))
    connection.execute(text(sql))


@pytest.mark.parametrize("table", sorted(WRITES))
def test_a_reader_changes_nothing(table: str, owner_database: Database, rows: Rows) -> None:
    """Under the reader's role no table can be written, emptied or changed."""
    (column,) = rows("SELECT attname FROM pg_attribute WHERE attrelid = CAST(:t AS regclass) AND attnum = 1", t=table)
    name = column["attname"]
    for sql in (f"UPDATE {table} SET {name} = {name}", f"DELETE FROM {table}", f"TRUNCATE {table}", f"ALTER TABLE {table} ADD x int"):
        with pytest.raises(Exception, match="42501"), owner_database.transaction() as connection:
            _as_reader(connection, sql)


def test_functions_with_the_owners_rights_have_a_search_path_of_their_own(rows: Rows) -> None:
    """Nobody can put a table or function of theirs in the place of one that such a function means, and not everybody may call it."""
    found = rows(
        "SELECT proname, proconfig, EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0) AS by_all"
        " FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    assert found
    assert [row["proname"] for row in found if not any(one.startswith("search_path=") for one in row["proconfig"] or ())] == []
    assert [row["proname"] for row in found if row["by_all"]] == []


def test_a_worker_takes_no_other_role(database: Database) -> None:
    """Neither the owner's nor a superuser's."""
    for role in ("tollbook", "postgres"):
        with pytest.raises(Exception, match=r"42501|22023"), database.transaction() as connection:
            connection.execute(text(f"SET LOCAL ROLE {role}"))
