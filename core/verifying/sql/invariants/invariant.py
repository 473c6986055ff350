"""What an invariant is to the database: one query for the rows that break it."""

from dataclasses import dataclass

from sqlalchemy import Connection, TextClause, column, func, select

EVER = "-infinity"  # as PostgreSQL writes it: no entry is older


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant of the books; `breaches` selects (subject, detail), both texts, of each breach of it.

    Entries recorded before `:since` it takes as looked at already: their sums stand in the checkpoint. What isn't an entry and
    has few rows it looks at whole.
    """

    name: str
    description: str
    breaches: TextClause


@dataclass(frozen=True, slots=True)
class Breach:
    """What breaks an invariant, and how; both may quote what producers wrote."""

    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one invariant: how often it is broken, and the first breaches by subject."""

    invariant: str
    description: str
    violations: int
    samples: list[Breach]


def judge(connection: Connection, invariant: Invariant, samples_max: int, since: str = EVER) -> Verdict:
    """How many breaches there are, and the first `samples_max` of them by subject.

    Args:
        connection: of a snapshot, if several invariants are to see the same moment.
        invariant: what must hold.
        samples_max: how many breaches to bring along.
        since: looks at the entries recorded from then on, as PostgreSQL reads a time; before it stands the checkpoint.
    """
    found = invariant.breaches.columns(column("subject"), column("detail")).subquery()
    statement = select(func.count().over(), found.c.subject, found.c.detail).order_by(found.c.subject, found.c.detail).limit(samples_max)
    rows = connection.execute(statement, {"since": since}).all()
    return Verdict(invariant.name, invariant.description, rows[0][0] if rows else 0, [Breach(row.subject, row.detail) for row in rows])
