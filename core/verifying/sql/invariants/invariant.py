"""What an invariant is to the database: one query for the rows that break it, or a look at them where no query can tell."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import nsmallest

from sqlalchemy import Connection, TextClause, column, func, select

EVER = "-infinity"  # as PostgreSQL writes it: no entry is older


@dataclass(frozen=True, slots=True)
class Breach:
    """What breaks an invariant, and how; both may quote what producers wrote."""

    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """What this program can't judge, since a newer or an older one made it: no breach."""

    subject: str
    detail: str


Look = Callable[[Connection, str], Iterable[Breach | Unknown]]


@dataclass(frozen=True, slots=True)
class Invariant:
    """One invariant of the books; `breaches` selects (subject, detail), both texts, of each breach of it, or finds them itself.

    Entries recorded before `:since` (what a look is given beside the connection) it takes as looked at already: their sums stand in the
    checkpoint. What isn't an entry and has few rows it looks at whole. A look keeps no more than a page in memory.
    """

    name: str
    description: str
    breaches: TextClause | Look


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one invariant: how often it is broken, the first breaches by subject, and how much this program can't judge."""

    invariant: str
    description: str
    violations: int
    samples: list[Breach]
    unknown: int = 0


def judge(connection: Connection, invariant: Invariant, samples_max: int, since: str = EVER) -> Verdict:
    """How many breaches there are, and the first `samples_max` of them by subject.

    Args:
        connection: of a snapshot, if several invariants are to see the same moment.
        invariant: what must hold.
        samples_max: how many breaches to bring along.
        since: looks at the entries recorded from then on, as PostgreSQL reads a time; before it stands the checkpoint.
    """
    if not isinstance(invariant.breaches, TextClause):
        return _looked(invariant, invariant.breaches(connection, since), samples_max)
    found = invariant.breaches.columns(column("subject"), column("detail")).subquery()
    statement = select(func.count().over(), found.c.subject, found.c.detail).order_by(found.c.subject, found.c.detail).limit(samples_max)
    rows = connection.execute(statement, {"since": since}).all()
    return Verdict(invariant.name, invariant.description, rows[0][0] if rows else 0, [Breach(row.subject, row.detail) for row in rows])


def _looked(invariant: Invariant, found: Iterable[Breach | Unknown], samples_max: int) -> Verdict:
    counts = {Breach: 0, Unknown: 0}

    def breaches() -> Iterator[Breach]:
        for each in found:
            counts[type(each)] += 1
            if isinstance(each, Breach):
                yield each

    samples = nsmallest(samples_max, breaches(), key=lambda each: (each.subject, each.detail))
    return Verdict(invariant.name, invariant.description, counts[Breach], samples, counts[Unknown])
