"""SQL of operation keys: what a caller asks for under a key of their own is done once, and its result is kept for ever."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

from core.database.locks import Lock, hold_text
from core.errors import Conflict
from core.printable import shown

HASH_VERSION = 1

_FIND = text("""
    SELECT content_hash, result FROM operation_keys WHERE mandate_id = :mandate_id AND operation = :operation AND idempotency_key = :key
""")

_KEEP = text("""
    INSERT INTO operation_keys (mandate_id, operation, idempotency_key, content_hash, hash_version, result)
    VALUES (:mandate_id, :operation, :key, :content_hash, :hash_version, :result)
""").bindparams(bindparam("result", type_=JSONB))


# The key's index begins with the mandate: one look per mandate (OFFSET 0) instead of reading every key that there is.
_MANDATES = text("""
    SELECT s.mandate_id FROM billing_settings s
     WHERE EXISTS (SELECT FROM operation_keys k WHERE k.mandate_id = s.mandate_id AND k.operation = :operation AND k.idempotency_key = :key OFFSET 0)
     ORDER BY s.mandate_id
""")


@dataclass(frozen=True, slots=True)
class Operation:
    """What is asked for: its name, the caller's key, unique per mandate and name, and its content as JSON values.

    `earlier_contents` mean the same, and may have been kept by an earlier version of this program.
    """

    mandate_id: str
    name: str
    key: str
    content: Mapping[str, Any]
    earlier_contents: Sequence[Mapping[str, Any]] = ()

    @property
    def content_hash(self) -> bytes:
        """SHA-256 (32 bytes) of the content."""
        return _hash(self.content)

    def is_of(self, content_hash: bytes) -> bool:
        """Whether what was kept with this hash is the same that is asked for now."""
        return content_hash in (self.content_hash, *map(_hash, self.earlier_contents))


def hold_key(connection: Connection, mandate_id: str, operation: str, key: str) -> None:
    """Until the transaction ends nobody else can do the operation under this key."""
    # The key's row can't be claimed first and filled in later, since a worker may not update it; so whoever asks first holds the key.
    hold_text(connection, Lock.OPERATION_KEYS, mandate=mandate_id, operation=operation, key=key)


def find_result(connection: Connection, operation: Operation) -> dict[str, Any] | None:
    """What the operation came to when it was done, if it ever was. Until the transaction ends nobody else can do it.

    Raises:
        Conflict: the key was used with other content.
    """
    hold_key(connection, operation.mandate_id, operation.name, operation.key)
    row = connection.execute(_FIND, {"mandate_id": operation.mandate_id, "operation": operation.name, "key": operation.key}).one_or_none()
    if row is None:
        return None
    if not operation.is_of(bytes(row.content_hash)):
        of = f" of mandate {shown(operation.mandate_id)}" if operation.mandate_id else ""
        raise Conflict(
            f"{shown(operation.key)} was used for another {operation.name}{of} before",
            field="key",
            value=operation.key,
        )
    result: dict[str, Any] = row.result
    return result


def keep_result(connection: Connection, operation: Operation, result: Mapping[str, Any]) -> None:
    """Keeps what the operation came to; `find_result` was asked in the same transaction and knew nothing."""
    connection.execute(
        _KEEP,
        {
            "mandate_id": operation.mandate_id,
            "operation": operation.name,
            "key": operation.key,
            "content_hash": operation.content_hash,
            "hash_version": HASH_VERSION,
            "result": dict(result),
        },
    )


def mandates_with_key(connection: Connection, operation: str, key: str) -> list[str]:
    """The mandates for which this operation was asked for under this key."""
    return list(connection.execute(_MANDATES, {"operation": operation, "key": key}).scalars())


def _hash(content: Mapping[str, Any]) -> bytes:
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()
