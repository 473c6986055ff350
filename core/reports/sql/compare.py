"""SQL that finds lines of a journal among dead letters; and the lines of the journal itself, on disk, however many there are."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.ledger.sql.event_keys import EventKey

_BY_BYTES = text("""
    SELECT body_sha256, id, reason, detail, status FROM dead_letters WHERE body_sha256 = ANY(:digests)
""")
_BY_KEY = text("""
    SELECT DISTINCT ON (l.mandate_id, l.event_id) l.mandate_id, l.event_id, l.id, l.reason, l.detail, l.status
      FROM unnest(CAST(:mandate_ids AS text[]), CAST(:event_ids AS text[])) AS wanted(mandate_id, event_id)
      JOIN dead_letters l ON l.mandate_id = wanted.mandate_id AND l.event_id = wanted.event_id
     ORDER BY l.mandate_id, l.event_id, l.id DESC
""")


class Letter(NamedTuple):
    """The dead letter that an event became."""

    id: int
    reason: str
    detail: str
    status: str


def letters_by_bytes(connection: Connection, digests: Collection[bytes]) -> dict[bytes, Letter]:
    """The dead letters of these very bytes, by their SHA-256."""
    rows = connection.execute(_BY_BYTES, {"digests": list(digests)})
    return {bytes(row.body_sha256): Letter(row.id, row.reason, row.detail, row.status) for row in rows}


def letters_by_key(connection: Connection, keys: Sequence[EventKey]) -> dict[EventKey, Letter]:
    """The newest dead letter of each of these events that has one."""
    rows = connection.execute(_BY_KEY, {"mandate_ids": [key[0] for key in keys], "event_ids": [key[1] for key in keys]})
    return {(row.mandate_id, row.event_id): Letter(row.id, row.reason, row.detail, row.status) for row in rows}


class SeenEvents:
    """Which events stood earlier in a file: on disk beyond a few megabytes, in a file of the system's that goes with it."""

    def __init__(self) -> None:
        self._kept = sqlite3.connect("", isolation_level=None)
        self._kept.execute("PRAGMA journal_mode = OFF")
        self._kept.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, digests: Sequence[bytes]) -> list[bool]:
        """Of each of these, in order, whether it was there before, among them too."""
        places = ", ".join("?" * len(digests))
        there = {digest for (digest,) in self._kept.execute(f"SELECT digest FROM seen WHERE digest IN ({places})", digests)}
        known = []
        for digest in digests:
            known.append(digest in there)
            there.add(digest)
        self._kept.execute("BEGIN")
        self._kept.executemany("INSERT OR IGNORE INTO seen VALUES (?)", [(digest,) for digest in digests])
        self._kept.execute("COMMIT")
        return known

    def close(self) -> None:
        """The file goes."""
        self._kept.close()
