"""SQL that takes a file of any size over into the mirror: its rows go through a table on the server, so that nobody holds them all.

The table is temporary and goes with the transaction. Each row in it has the line of the file that it came from.
"""

from collections.abc import Iterable, Iterator
from operator import attrgetter

from sqlalchemy import Connection, text

from core.directory.source import Part
from core.directory.sql.staging import staged_columns

_ROWS_AT_ONCE = 1_000  # rows that are told, held at the same time


def stage_entries(connection: Connection, part: Part, entries: Iterable[tuple[int, object]]) -> int:
    """Takes the entries, each with its line, to the server as they come; returns how many.

    Raises:
        StorageUnavailable: the database has gone.
        RequestRefused, OSError: what `entries` raises.
    """
    columns, keys = ", ".join(part.columns), ", ".join(part.keys)
    connection.execute(text(f"CREATE TEMPORARY TABLE imported_{part.name} (line bigint, {staged_columns(part)}) ON COMMIT DROP"))
    values = attrgetter(*part.columns)
    driver_connection = connection.connection.driver_connection
    assert driver_connection is not None
    with driver_connection.cursor() as cursor, cursor.copy(f"COPY imported_{part.name} (line, {columns}) FROM STDIN") as copy:
        count = 0
        for line, entry in entries:
            copy.write_row((line, *values(entry)))
            count += 1
    connection.execute(text(f"CREATE INDEX ON imported_{part.name} ({keys}, line)"))
    connection.execute(text(f"ANALYZE imported_{part.name}"))  # nobody else does it for a temporary table
    return count


def contradictions(connection: Connection, part: Part) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The line and the key of each staged row that says something else than the first one with its key, by line."""
    keys = ", ".join(part.keys)
    others = [column for column in part.columns if column not in part.keys]
    firsts = ", ".join(f"first_value({column}) OVER same AS first_{column}" for column in others)
    differ = f"({', '.join(others)}) IS DISTINCT FROM ({', '.join(f'first_{column}' for column in others)})"
    statement = f"""
        SELECT line, {keys} FROM (SELECT *, {firsts} FROM imported_{part.name} WINDOW same AS (PARTITION BY {keys} ORDER BY line)) AS rows
         WHERE {differ} ORDER BY line
    """
    with connection.execute(text(statement), execution_options={"yield_per": _ROWS_AT_ONCE}) as result:
        for line, *key in result:
            yield line, tuple(key)


def put_staged(connection: Connection, part: Part) -> None:
    """The mirror has for each staged key what its first row says; where that leaves `enabled` open, it stays, true for what is new.

    In the order of the keys, as a sync does, so that the two don't wait in a circle.
    """
    keys, columns = ", ".join(part.keys), ", ".join(part.columns)
    given = ", ".join("coalesce(enabled, true)" if column == "enabled" else column for column in part.columns)
    same = " AND ".join(f"i.{key} = excluded.{key}" for key in part.keys)
    kept = f"coalesce((SELECT i.enabled FROM imported_{part.name} i WHERE {same} ORDER BY i.line LIMIT 1), present.enabled)"
    others = ", ".join(f"{c} = {kept if c == 'enabled' else f'excluded.{c}'}" for c in part.columns if c not in part.keys)
    connection.execute(
        text(f"""
            INSERT INTO directory_{part.name} AS present ({columns})
            SELECT DISTINCT ON ({keys}) {given} FROM imported_{part.name} ORDER BY {keys}, line
            ON CONFLICT ({keys}) DO UPDATE SET {others}
        """)
    )
