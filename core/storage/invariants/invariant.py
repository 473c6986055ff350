"""What an invariant is to the database: one query for the rows that break it."""

from dataclasses import dataclass

from sqlalchemy import Connection, TextClause, column, func, select


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant of the books; `breaches` selects (subject, detail), both texts, of each breach of it."""

    name: str
    description: str
    breaches: TextClause


@dataclass(frozen=True, slots=True)
class Breach:
    """What breaks an invariant, and how; both may quote what producers wrote."""

    subject: str
    detail: str


def find_breaches(connection: Connection, invariant: Invariant, samples_max: int) -> tuple[int, list[Breach]]:
    """How many breaches there are, and the first `samples_max` of them by subject."""
    found = invariant.breaches.columns(column("subject"), column("detail")).subquery()
    statement = select(func.count().over(), found.c.subject, found.c.detail).order_by(found.c.subject, found.c.detail).limit(samples_max)
    rows = connection.execute(statement).all()
    return (rows[0][0] if rows else 0), [Breach(row.subject, row.detail) for row in rows]
