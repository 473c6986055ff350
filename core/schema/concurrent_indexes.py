"""Indexes that an upgrade needs on tables which may be very large: built beside the running workers, before the migration takes them over.

`CREATE INDEX CONCURRENTLY` lets recorders go on, but runs in no transaction and on no partitioned table: so each partition's index is
built by itself. A migration that then makes the index of the whole table finds them and has nothing left to read.
"""

from collections.abc import Callable
from typing import LiteralString, NamedTuple

import psycopg
from psycopg import sql

from core.database.sessions import Way

Tell = Callable[[str], None]

_PARTS = """
    SELECT relname FROM pg_class
     WHERE relkind = 'r' AND (oid = to_regclass(%(table)s) OR oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%(table)s))))
     ORDER BY 1
"""
_VALID = "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass('public.' || quote_ident(%(index)s))"


class ConcurrentIndex(NamedTuple):
    """An index that the migration to `revision` takes over."""

    revision: str
    table: str
    columns: tuple[str, ...]
    unique: bool = False
    where: LiteralString = ""  # the condition of a partial one
    name: str = ""  # of one on a table without partitions that needs no other name afterwards

    def of(self, part: str) -> str:
        """Its name on a table, or on a partition; as PostgreSQL cuts names, which are different to begin with."""
        return self.name or f"{part}_{'_'.join(self.columns)}"[:63]


INDEXES = (
    ConcurrentIndex("0025_lean_indexes", "transactions", ("account_id", "recorded_at")),
    ConcurrentIndex("0025_lean_indexes", "transactions", ("mandate_id", "recorded_at")),
    ConcurrentIndex("0025_lean_indexes", "event_keys", ("event_id", "mandate_id"), unique=True),
    ConcurrentIndex("0032_watching", "parked_events", ("reason", "received_at"), name="ix_parked_events_reason_received_at"),
    ConcurrentIndex("0032_watching", "cap_alerts", ("window_start",), where="share = 100 AND NOT recovered", name="ix_cap_alerts_reached"),
)


def build_indexes(way: Way, revisions: list[str], tell: Tell) -> None:
    """Every index that the migrations to these revisions take over is there, on each partition that there is now.

    Repeatable: what is there stays, what was cut short is begun anew. Nothing waits for it but other changes to the same tables. The caller
    holds `Lock.MIGRATION` in a transaction that has written nothing: PostgreSQL would wait for its end.

    Args:
        way: to the database, under the owner's login, with as much time as it takes.
        revisions: those that the database has not come to yet.
        tell: what is being built, before each index.

    Raises:
        psycopg.Error: the database refused it, or went away.
    """
    wanted = [one for one in INDEXES if one.revision in revisions]
    if not wanted:
        return
    with way.open() as connection:
        connection.autocommit, connection.answer_seconds = True, None
        for one in wanted:
            for (part,) in connection.execute(_PARTS, {"table": f"public.{one.table}"}).fetchall():
                _build(connection, one, part, tell)


def _build(connection: psycopg.Connection, wanted: ConcurrentIndex, part: str, tell: Tell) -> None:
    name = wanted.of(part)
    found = connection.execute(_VALID, {"index": name}).fetchone()
    if found == (True,):
        return
    if found is not None:
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY public.{}").format(sql.Identifier(name)))
    tell(f"building an index of {part} beside the running workers: {', '.join(wanted.columns)}")
    statement = sql.SQL("CREATE {} INDEX CONCURRENTLY {} ON public.{} ({}) {}").format(
        sql.SQL("UNIQUE" if wanted.unique else ""),
        sql.Identifier(name),
        sql.Identifier(part),
        sql.SQL(", ").join(map(sql.Identifier, wanted.columns)),
        sql.SQL("WHERE {}").format(sql.SQL(wanted.where)) if wanted.where else sql.SQL(""),
    )
    connection.execute(statement)
