"""What a query found, as values: each column is bound to the field of its name, so the order of neither matters."""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, get_type_hints

from sqlalchemy import Connection, CursorResult, TextClause

Made = TypeVar("Made")


def rows(connection: Connection, kind: Callable[..., Made], statement: TextClause, /, **parameters: object) -> list[Made]:
    """All that the statement finds, as `made` makes it."""
    return made(kind, connection.execute(statement, parameters))


def row(connection: Connection, kind: Callable[..., Made], statement: TextClause, /, **parameters: object) -> Made | None:
    """The one row that the statement finds, if it finds one; it must not find several."""
    (found,) = rows(connection, kind, statement, **parameters) or (None,)
    return found


def made(kind: Callable[..., Made], found: CursorResult[*tuple[Any, ...]]) -> list[Made]:
    """`kind(**columns)` of each row: a column that it has no field for is an error, and so is a field without a column.

    Fields of an enum or of `int` are made such: words come as text, and sums of whole numbers as decimals.
    """
    names, conversions = tuple(found.keys()), _conversions(kind)
    assert len(set(names)) == len(names), names
    return [kind(**_converted(dict(zip(names, values, strict=True)), conversions)) for values in found]


def _converted(values: dict[str, Any], conversions: Mapping[str, Callable[[Any], object]]) -> dict[str, Any]:
    for name in conversions.keys() & values.keys():
        values[name] = conversions[name](values[name])
    return values


@lru_cache(maxsize=256)
def _conversions(kind: Callable[..., object]) -> dict[str, type]:
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name != "return" and isinstance(hint, type)}
    return {name: hint for name, hint in hints.items() if hint is int or issubclass(hint, Enum)}
