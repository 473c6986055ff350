"""The rows that the judges of an operator's journal take, out of one snapshot."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, text

from lab.oracle.torture_operator import TABLES


class TableRow(Mapping[str, Any]):
    """A row by the names of its columns, which all rows of its table share: there may be a million."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: tuple[Any, ...]) -> None:
        self._places, self._values = places, values

    def __getitem__(self, name: str) -> Any:
        return self._values[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return repr(dict(self))


def read_tables(connection: Connection) -> dict[str, list[TableRow]]:
    """Every row of `TABLES`; the connection is of a snapshot, under a login that may read all of them."""
    found = {}
    for table, columns in TABLES.items():
        places = {name: place for place, name in enumerate(columns)}
        result = connection.execute(text(f"SELECT {', '.join(columns)} FROM {table}"))
        found[table] = [TableRow(places, tuple(row)) for row in result]
    return found
