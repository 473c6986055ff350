"""How lists are read: page by page, each page right after the last row of the one before, whose sort key is the cursor.

A page costs what it holds, however far down it begins. Rows left out by an `offset` are read all the same.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.database.rows import Made, rows


class Rows(NamedTuple):
    """Which rows of a list: `limit` of those after the cursor, the sort key of a row, once `offset` are left out."""

    limit: int
    offset: int = 0
    cursor: object = None


@dataclass(frozen=True)
class Listing:
    """A list of the rows of a table, which the parts of the query call `r`.

    Attributes:
        table: whose rows.
        shown: what is selected of a row.
        key: the columns that it is sorted by, none of them NULL; they tell each row from all others, and have an index.
        ascending: in which direction, by all of them; by default the greatest comes first.
        joined: joins that `shown` needs; made for the rows of the page alone.
        conditions: the conditions that may be given, by the name of their parameter.
    """

    table: str
    shown: str
    key: tuple[str, ...]
    ascending: bool = False
    joined: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)

    def rows(
        self, connection: Connection, kind: Callable[..., Made], page: Rows, /, each: Mapping[str, Collection[str]] | None = None, **given: object
    ) -> list[Made]:
        """The rows of the page under those conditions whose parameter is given: neither None nor False.

        Args:
            connection: to ask.
            kind: what each row is made, as in `core.database.rows`.
            page: which rows.
            each: values, one of which each of these columns has; there must be an index of these columns and the key.
            given: the parameters of the conditions.
        """
        parameters = {name: value for name, value in given.items() if value is not None and value is not False}
        conditions = [self.conditions[name] for name in parameters]
        if page.cursor is not None:
            places = [f"after_{n}" for n in range(len(self.key))]
            conditions.append(f"({self._columns()}) {'>' if self.ascending else '<'} ({', '.join(f':{place}' for place in places)})")
            parameters |= dict(zip(places, page.cursor if isinstance(page.cursor, tuple) else (page.cursor,), strict=True))
        parameters |= {"limit": page.limit, "offset": page.offset} | {f"each_{column}": list(values) for column, values in (each or {}).items()}
        return rows(connection, kind, text(self._statement(conditions, list(each or ()))), **parameters)

    def _statement(self, conditions: Sequence[str], each: Sequence[str]) -> str:
        """Of a choice of values, the first rows under each are merged.

        The last of their columns is sorted by and compared as a range, or the planner would take it for settled, go through the whole
        table by the key, and look for rows that may not be there.
        """
        equal = [f"r.{column} = each_{column}.value" for column in each[:-1]]
        within = [f"r.{column} BETWEEN each_{column}.value AND each_{column}.value" for column in each[-1:]]
        where = " AND ".join([*conditions, *equal, *within]) or "true"
        found = f"SELECT r.* FROM {self.table} r WHERE {where} ORDER BY {self._order(*each[-1:])} LIMIT"
        if each:
            values = " CROSS JOIN ".join(f"unnest(CAST(:each_{column} AS text[])) AS each_{column}(value)" for column in each)
            first = f"{found} CAST(:limit AS bigint) + CAST(:offset AS bigint)"
            found = f"SELECT r.* FROM {values} CROSS JOIN LATERAL ({first}) AS r ORDER BY {self._order()} LIMIT"
        return f"SELECT {self.shown} FROM ({found} :limit OFFSET :offset) AS r {self.joined} ORDER BY {self._order()}"

    def _columns(self) -> str:
        return ", ".join(f"r.{column}" for column in self.key)

    def _order(self, *first: str) -> str:
        return ", ".join(f"r.{column}{'' if self.ascending else ' DESC'}" for column in (*first, *self.key))
