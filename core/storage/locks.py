"""Advisory locks per mandate: recorders share them, whoever changes a mandate's rules holds them alone.

A row lock FOR SHARE on the settings would do the same, but a stream of recorders overtakes a waiting writer for seconds;
advisory locks queue fairly (docs/decisions/0003). Mandates are folded onto 256 stripes, so that a batch over thousands of
mandates takes a bounded share of PostgreSQL's lock table; a stripe's neighbours merely wait for milliseconds.
"""

from collections.abc import Iterable
from zlib import crc32

from sqlalchemy import Connection, text

_STRIPES = 256
_CLASS_ID = 0x70_11  # first half of the lock's key: keeps clear of other users of advisory locks in this database

_SHARE = text("SELECT pg_advisory_xact_lock_shared(:class_id, stripe) FROM unnest(CAST(:stripes AS int[])) AS stripe")
_HOLD = text("SELECT pg_advisory_xact_lock(:class_id, stripe) FROM unnest(CAST(:stripes AS int[])) AS stripe")


def share_mandates(connection: Connection, mandate_ids: Iterable[str]) -> None:
    """Until the transaction ends, the rules of these mandates can't change. Read their settings in a later statement."""
    connection.execute(_SHARE, {"class_id": _CLASS_ID, "stripes": _stripes(mandate_ids)})


def hold_mandates(connection: Connection, mandate_ids: Iterable[str]) -> None:
    """Until the transaction ends, nobody else records usage of these mandates or changes their rules."""
    connection.execute(_HOLD, {"class_id": _CLASS_ID, "stripes": _stripes(mandate_ids)})


def _stripes(mandate_ids: Iterable[str]) -> list[int]:
    return sorted({crc32(mandate_id.encode()) % _STRIPES for mandate_id in mandate_ids})
