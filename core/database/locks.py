"""Every advisory lock of the books: one list, so that no two meet, and the only place that takes them.

PostgreSQL keeps keys of one bigint apart from keys of two ints (class and object), so a number may stand in both spaces. Numbers
below 2^32 are for the fixed locks; a hashed identity falls onto one of them, or onto another identity, once in 2^64 pairs, and then
two who have nothing to do with each other wait, or one of them is told to try again.

Recorders share a mandate, whoever changes its rules holds it alone. A row lock FOR SHARE on the settings would do the same, but a
stream of recorders overtakes a waiting writer for seconds; advisory locks queue fairly (docs/decisions/0003). Mandates are folded
onto 256 stripes, so that a batch over thousands of mandates takes a bounded share of PostgreSQL's lock table; a stripe's
neighbours merely wait for milliseconds.
"""

from collections.abc import Iterable
from enum import Enum, StrEnum, unique
from typing import Self
from zlib import crc32

from sqlalchemy import Connection, text

_STRIPES = 256


class Space(StrEnum):
    """How the keys of a lock are made: one number, a class with an object of two ints, or the hash (64 bits) of a text."""

    NUMBER = "number"
    CLASS = "class"
    HASH = "hash"


@unique
class Lock(Enum):
    """A lock, or a family of locks: its space, its number or the form of its text, and what it serialises.

    No part of a text holds the separator, so that texts of different forms, with different numbers of parts, differ.
    """

    MIGRATION = (Space.NUMBER, 0x7011_0001, "upgrades: the second runs after the first")
    PARTITIONS = (Space.NUMBER, 0x7011_0004, "making partitions; the functions of the database take it")
    ALERT_OUTBOX = (Space.NUMBER, 0x7011_0005, "publishing and withholding alerts: one at a time looks at what waits")
    STATISTICS = (Space.NUMBER, 0x7011_0006, "counting usage: one at a time")
    DEAD_LETTERS = (Space.NUMBER, 0x7011_0007, "operators' decisions, so that no letter's row is held while usage is recorded")
    CLOUD_EVENT_KEY = (Space.NUMBER, 0x7011_0008, "what a CloudEvent is known by: shared by whoever records one")
    PRICES = (Space.NUMBER, 0x7011_0009, "whatever rating depends on: each change raises the revision of the prices")
    PRODUCERS = (Space.NUMBER, 0x7011_000A, "what is known of producers: merging the numbers that came")
    OUTCOMES = (Space.NUMBER, 0x7011_000B, "telling producers of their events: one at a time empties what waits")
    IMPORT = (Space.NUMBER, 0x70_12, "imports of books")
    MANDATES = (Space.CLASS, 0x70_11, "a mandate's rules, by stripe")
    JOBS = (Space.CLASS, 0x70_12, "a scheduled job, by the hash of its name")
    OPERATION_KEYS = (Space.HASH, "{mandate}\x1f{operation}\x1f{key}", "what is asked for under one key")
    AMENDMENTS = (Space.HASH, "amendments\x1f{mandate}", "amendments of one mandate's events")

    def __new__(cls, space: Space, key: int | str, serialises: str) -> Self:
        """A member is unique by its space and key."""
        lock = object.__new__(cls)
        lock._value_ = (space, key)
        lock.space, lock.key, lock.serialises = space, key, serialises
        return lock

    space: Space
    key: int | str
    serialises: str


# Where a lock was before two met on one number. A worker of the release before holds the old number alone, so whoever holds the lock
# shares the old one: they exclude each other, and two that share it don't. Goes with the first release after the one that brings
# revision 0016_room. (The functions that make partitions are the database's: old workers call the new ones.)
MOVED_FROM = {Lock.ALERT_OUTBOX: 0x7011_0002, Lock.STATISTICS: 0x7011_0003, Lock.DEAD_LETTERS: 0x7011_0003}

_HOLD = text("SELECT pg_advisory_xact_lock(:key)")
_SHARE = text("SELECT pg_advisory_xact_lock_shared(:key)")
_TRY_HOLD = text("SELECT pg_try_advisory_xact_lock(:key)")
_TRY_SHARE = text("SELECT pg_try_advisory_xact_lock_shared(:key)")
_HOLD_HASHED = text("SELECT pg_advisory_xact_lock(hashtextextended(:text, 0))")
_TRY_HOLD_JOB = text("SELECT pg_try_advisory_xact_lock(:class_id, hashtext(:job))")
_SHARE_STRIPES = text("SELECT pg_advisory_xact_lock_shared(:class_id, stripe) FROM unnest(CAST(:stripes AS int[])) AS stripe")
_HOLD_STRIPES = text("SELECT pg_advisory_xact_lock(:class_id, stripe) FROM unnest(CAST(:stripes AS int[])) AS stripe")


def hold(connection: Connection, lock: Lock) -> None:
    """Until the transaction ends, a lock of one number is this transaction's alone; waits for whoever has it."""
    if lock in MOVED_FROM:
        connection.execute(_SHARE, {"key": MOVED_FROM[lock]})
    connection.execute(_HOLD, {"key": lock.key})


def share(connection: Connection, lock: Lock) -> None:
    """Until the transaction ends nobody holds a lock of one number alone; waits for whoever does."""
    connection.execute(_SHARE, {"key": lock.key})


def try_hold(connection: Connection, lock: Lock) -> bool:
    """As `hold`, but without waiting: whether it is ours."""
    if lock in MOVED_FROM and not connection.execute(_TRY_SHARE, {"key": MOVED_FROM[lock]}).scalar_one():
        return False
    return bool(connection.execute(_TRY_HOLD, {"key": lock.key}).scalar_one())


def try_hold_job(connection: Connection, job: str) -> bool:
    """Whether nobody is doing this job now; if so, nobody else does before this transaction ends."""
    return bool(connection.execute(_TRY_HOLD_JOB, {"class_id": Lock.JOBS.key, "job": job}).scalar_one())


def hold_text(connection: Connection, lock: Lock, **parts: str) -> None:
    """Until the transaction ends, the lock of a text made of these parts is this transaction's alone; waits for whoever has it."""
    connection.execute(_HOLD_HASHED, {"text": str(lock.key).format(**parts)})


def share_mandates(connection: Connection, mandate_ids: Iterable[str]) -> None:
    """Until the transaction ends, the rules of these mandates can't change. Read their settings in a later statement."""
    connection.execute(_SHARE_STRIPES, {"class_id": Lock.MANDATES.key, "stripes": _stripes(mandate_ids)})


def hold_mandates(connection: Connection, mandate_ids: Iterable[str]) -> None:
    """Until the transaction ends, nobody else records usage of these mandates or changes their rules."""
    connection.execute(_HOLD_STRIPES, {"class_id": Lock.MANDATES.key, "stripes": _stripes(mandate_ids)})


def _stripes(mandate_ids: Iterable[str]) -> list[int]:
    return sorted({crc32(mandate_id.encode()) % _STRIPES for mandate_id in mandate_ids})
