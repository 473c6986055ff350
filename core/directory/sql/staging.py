"""SQL that makes the mirror follow a whole answer of its source: staged first, judged, then taken over in one transaction.

Everything is in temporary tables of the transaction: what was answered (`staged_*`), and what that changes in the mirror
(`changed_*`), gone rows among it. Nothing is deleted from the mirror; a row that is gone is disabled.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text

from core.directory.source import Part
from core.events.model import ID_LENGTH_MAX

_CONTROLS = r"[\u0001-\u001F\u007F-\u009F]"  # as PostgreSQL's regular expressions write them
_ID = f"char_length({{0}}) BETWEEN 1 AND {ID_LENGTH_MAX} AND {{0}} !~ '{_CONTROLS}'"
_NAME = f"nullif(left(CASE WHEN {{0}} ~ '{_CONTROLS}' THEN regexp_replace({{0}}, '{_CONTROLS}', '', 'g') ELSE {{0}} END, 256), '')"


@dataclass(frozen=True, slots=True)
class Change:
    """What an answer would do to one table of the mirror, in rows."""

    answered: int
    refused: int
    changed: int
    disabled: int
    enabled_before: int


def stage(connection: Connection, part: Part, blocks: Iterable[bytes]) -> None:
    """Takes the rows of COPY's text format into a temporary table.

    Raises:
        StorageUnavailable: the mirror's database has gone.
    """
    connection.execute(text(f"CREATE TEMPORARY TABLE staged_{part.name} ({staged_columns(part)}) ON COMMIT DROP"))
    driver_connection = connection.connection.driver_connection
    assert driver_connection is not None
    with driver_connection.cursor() as cursor, cursor.copy(f"COPY staged_{part.name} FROM STDIN") as copy:
        for block in blocks:
            copy.write(block)
    connection.execute(text(f"ANALYZE staged_{part.name}"))  # nobody else does it for a temporary table


def staged_columns(part: Part) -> str:
    """The columns of a table for such rows, as `CREATE TABLE` takes them; keys compare as in the mirror."""
    return ", ".join(f"{name} {kind}{_collation(part, name)}" for name, kind in part.columns.items())


def compare_with_mirror(connection: Connection, part: Part) -> Change:
    """What the staged rows would change in the mirror; of rows with one key an enabled one counts. Changes nothing yet.

    Rows without a usable key are refused, names lose control characters and what is beyond 256 characters, and an `enabled`
    that is NULL is false.
    """
    table, keys = part.name, part.keys
    valid = " AND ".join(_ID.format(key) for key in keys)
    others = [column for column in part.columns if column not in keys]
    cleaned = ", ".join(f"{_cleaned(column)} AS {column}" for column in others)
    same = " AND ".join(f"a.{key} = d.{key}" for key in keys)
    merged = ", ".join([*(f"coalesce(a.{key}, d.{key}) AS {key}" for key in keys), *(_after(part, column) for column in others)])
    differ = f"({', '.join(f'a.{c}' for c in others)}) IS DISTINCT FROM ({', '.join(f'd.{c}' for c in others)})"
    has_enabled = "enabled" in others
    gone = "d.enabled" if has_enabled else "false"
    disables = "d.enabled AND a.enabled IS NOT TRUE" if has_enabled else "false"
    first = "enabled DESC NULLS LAST, " if has_enabled else ""
    connection.execute(
        text(f"""
            CREATE TEMPORARY TABLE changed_{table} ON COMMIT DROP AS
            WITH a AS (
                SELECT DISTINCT ON ({", ".join(keys)}) {", ".join(keys)}, {cleaned}
                  FROM staged_{table} WHERE {valid} ORDER BY {", ".join(keys)}, {first}{", ".join(c for c in others if c != "enabled") or "1"}
            )
            SELECT {merged}, coalesce({disables}, false) AS disables
              FROM a FULL JOIN directory_{table} d ON {same}
             WHERE CASE WHEN a.{keys[0]} IS NULL THEN {gone} WHEN d.{keys[0]} IS NULL THEN true ELSE {differ} END
        """)
    )
    enabled = f"(SELECT count(*) FROM directory_{table} WHERE enabled)" if has_enabled else "0"
    row = connection.execute(
        text(f"""
            SELECT (SELECT count(*) FROM staged_{table}) AS answered,
                   (SELECT count(*) FROM staged_{table} WHERE ({valid}) IS NOT TRUE) AS refused,
                   count(*) AS changed, count(*) FILTER (WHERE disables) AS disabled, {enabled} AS enabled_before
              FROM changed_{table}
        """)
    )
    return Change(**row.mappings().one())


def take_over(connection: Connection, part: Part) -> None:
    """Makes the changes that were found; in the order of the keys, as an import does, so that the two don't wait in a circle."""
    table, keys, columns = part.name, ", ".join(part.keys), ", ".join(part.columns)
    others = ", ".join(f"{column} = excluded.{column}" for column in part.columns if column not in part.keys)
    connection.execute(
        text(f"""
            INSERT INTO directory_{table} ({columns}) SELECT {columns} FROM changed_{table} ORDER BY {keys}
            ON CONFLICT ({keys}) DO UPDATE SET {others}
        """)
    )


def _collation(part: Part, column: str) -> str:
    return ' COLLATE "C"' if column in part.keys else ""


def _cleaned(column: str) -> str:
    if column == "enabled":
        return "coalesce(enabled, false)"
    cleaned = _NAME.format(column)
    return f"coalesce({cleaned}, '')" if column == "name" else cleaned


def _after(part: Part, column: str) -> str:
    """A column as it will be: what was answered, and of a row that is gone what it was, but disabled."""
    if column == "enabled":
        return "coalesce(a.enabled, false) AS enabled"
    return f"CASE WHEN a.{part.keys[0]} IS NULL THEN d.{column} ELSE a.{column} END AS {column}"
