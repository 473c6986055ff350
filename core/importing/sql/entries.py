"""SQL of imported entries: claimed once under ids in their order, read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.asking.sql import HASH_VERSION, Operation
from core.caps.counters import Moved
from core.caps.model import Spending
from core.database.packing import packed, unpacked
from core.ledger.kinds import COSTS
from core.ledger.sql.entry_kinds import is_of
from core.ledger.sql.event_keys import EventKey, StoredHash
from core.ledger.sql.transactions import DELTA

IMPORT = "import"  # the kind of its batches: what stands in one is history, and moved nothing

_CLAIM = text(f"""
    INSERT INTO operation_keys (mandate_id, operation, idempotency_key, content_hash, hash_version, result)
    SELECT k.mandate_id, :operation, k.key, decode(k.content_hash, 'hex'), :hash_version, jsonb_build_object('transaction_id', k.id)
      FROM unnest({unpacked("mandate_ids")}, {unpacked("keys")}, {unpacked("hashes")}, {unpacked("ids", "bigint")})
           AS k(mandate_id, key, content_hash, id)
     WHERE k.mandate_id IS NOT NULL
     ORDER BY k.mandate_id COLLATE "C", k.key COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING mandate_id, idempotency_key
""")

# As recording claims the keys of deliveries, but under ids in the order of the entries, in which lists show them.
_CLAIM_EVENTS = text(f"""
    INSERT INTO event_keys (mandate_id, event_id, payload_hash, hash_version, transaction_id, recorded_at)
    SELECT k.mandate_id, k.event_id, decode(k.payload_hash, 'hex'), :hash_version, k.id, now()
      FROM unnest({unpacked("mandate_ids")}, {unpacked("event_ids")}, {unpacked("hashes")}, {unpacked("ids", "bigint")})
           AS k(mandate_id, event_id, payload_hash, id)
     WHERE k.mandate_id IS NOT NULL
     ORDER BY k.event_id COLLATE "C", k.mandate_id COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING mandate_id, event_id, transaction_id
""")

_CLAIMED = text(f"""
    SELECT wanted.mandate_id, wanted.key, k.content_hash, k.recorded_at, k.transaction_id
      FROM unnest({unpacked("mandate_ids")}, {unpacked("keys")}) AS wanted(mandate_id, key)
     CROSS JOIN LATERAL (SELECT content_hash, recorded_at, CAST(result ->> 'transaction_id' AS bigint) AS transaction_id FROM operation_keys
                          WHERE mandate_id = wanted.mandate_id AND operation = :operation AND idempotency_key = wanted.key OFFSET 0) AS k
""")

_FIND_EVENTS = text(f"""
    SELECT wanted.mandate_id, wanted.event_id, k.payload_hash, k.hash_version, k.transaction_id, k.recorded_at
      FROM unnest({unpacked("mandate_ids")}, {unpacked("event_ids")}) AS wanted(mandate_id, event_id)
     CROSS JOIN LATERAL (SELECT * FROM event_keys WHERE mandate_id = wanted.mandate_id AND event_id = wanted.event_id OFFSET 0) AS k
""")

_STANDING = text(f"""
    SELECT t.id, {DELTA} AS amount, b.kind IS NOT DISTINCT FROM :kind AS is_history
      FROM transactions t LEFT JOIN batches b ON b.id = t.batch_id
     WHERE t.id = ANY(:ids) AND t.recorded_at = ANY(:times)
""")

_WRITTEN = text(f"""
    SELECT t.mandate_id, count(*), sum({DELTA})
      FROM transactions t WHERE t.recorded_at = now() AND t.batch_id = ANY(:batch_ids) GROUP BY t.mandate_id
""")

# What is alike is added up here: of a year's usage there are few kinds a day.
_SPENT = text(f"""
    SELECT t.mandate_id, t.created_by_user_id AS user_id, t.provider, t.model, t.feature_code, t.local_date, sum(t.amount) AS spent
      FROM transactions t
     WHERE t.recorded_at = now() AND t.batch_id = ANY(:batch_ids) AND t.mandate_id = ANY(:mandate_ids) AND {is_of(COSTS)}
     GROUP BY t.mandate_id, t.created_by_user_id, t.provider, t.model, t.feature_code, t.local_date
""")

Sums = list[tuple[str, int, Decimal]]  # mandate id, number, CHF
Reference = tuple[int, datetime]  # id and recorded_at of a transaction
KeyOfMandate = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A key as it stands: what was claimed under it, when, which id its entry has, and whether it was claimed only now."""

    content_hash: bytes
    recorded_at: datetime
    transaction_id: int
    is_new: bool


class EntryStanding(NamedTuple):
    """An entry that is in the books: what it added to a balance here or elsewhere, in CHF, and whether it is history."""

    amount: Decimal
    is_history: bool


def claim_operations(connection: Connection, operations: Sequence[Operation], ids: Sequence[int]) -> dict[KeyOfMandate, Claimed]:
    """Claims those that nobody had before, all of one name, each with the id of its entry, and returns how every key stands now.

    Keys must not repeat.
    """
    parameters = {
        "operation": operations[0].name,
        "mandate_ids": packed(o.mandate_id for o in operations),
        "keys": packed(o.key for o in operations),
        "hashes": packed(o.content_hash.hex() for o in operations),
        "ids": packed(ids),
        "hash_version": HASH_VERSION,
    }
    new = {(row[0], row[1]) for row in connection.execute(_CLAIM, parameters)}
    rows = connection.execute(_CLAIMED, {name: parameters[name] for name in ("operation", "mandate_ids", "keys")})
    return {(row[0], row[1]): Claimed(bytes(row[2]), row[3], row[4], is_new=(row[0], row[1]) in new) for row in rows}


def claim_past_events(connection: Connection, keys: Sequence[EventKey], hashes: Sequence[bytes], ids: Sequence[int]) -> dict[EventKey, int]:
    """The keys of usage that nobody had before, each with the id of its entry. Keys must not repeat."""
    parameters = {
        "mandate_ids": packed(k[0] for k in keys),
        "event_ids": packed(k[1] for k in keys),
        "hashes": packed(h.hex() for h in hashes),
        "ids": packed(ids),
        "hash_version": 1,  # of the payload: history has no more than version 1 of the contract
    }
    return {(row[0], row[1]): row[2] for row in connection.execute(_CLAIM_EVENTS, parameters)}


def find_past_events(connection: Connection, keys: Sequence[EventKey]) -> dict[EventKey, StoredHash]:
    """What stands under those event keys that exist."""
    rows = connection.execute(_FIND_EVENTS, {"mandate_ids": packed(k[0] for k in keys), "event_ids": packed(k[1] for k in keys)})
    return {(row[0], row[1]): StoredHash(bytes(row[2]), row[3], row[4], row[5]) for row in rows}


def find_entries(connection: Connection, references: Sequence[Reference]) -> dict[int, EntryStanding]:
    """Those of the entries that are in the books, by id."""
    parameters = {"ids": [r[0] for r in references], "times": list({r[1] for r in references}), "kind": IMPORT}
    return {row[0]: EntryStanding(row[1], row[2]) for row in connection.execute(_STANDING, parameters)}


def sum_written(connection: Connection, batch_ids: Sequence[int]) -> Sums:
    """Per mandate how many entries of these batches this transaction has written, and their sum, as the books have it."""
    return [(row[0], row[1], row[2]) for row in connection.execute(_WRITTEN, {"batch_ids": list(batch_ids)})]


def spent_in(connection: Connection, batch_ids: Sequence[int], mandate_ids: Sequence[str]) -> list[Moved]:
    """What the usage that this transaction has written in these batches adds to the counters of caps, of these mandates."""
    found = connection.execute(_SPENT, {"batch_ids": list(batch_ids), "mandate_ids": list(mandate_ids)})
    return [Moved(Spending(*spending), day, spent) for *spending, day, spent in found]
