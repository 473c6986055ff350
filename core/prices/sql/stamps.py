"""SQL of stamps: what amounts were computed from, one row for all that were computed from the same."""

from collections.abc import Collection
from hashlib import sha256

import msgspec
from sqlalchemy import Connection, RowMapping, text

from core.prices.model import StampContent, StampKind

_FIND = text("SELECT content_hash, id FROM stamps WHERE content_hash = ANY(:hashes)")

# In the order of their hashes, so that two who bring the same new ones don't wait for each other in a circle.
_ADD = text(f"""
    INSERT INTO stamps ({", ".join(StampContent._fields)}, content_hash)
    SELECT s.kind, s.version_id, string_to_array(s.rows, ',')::bigint[], {", ".join(f"s.{name}" for name in StampContent._fields[3:])}, s.content_hash
      FROM unnest(CAST(:kind AS text[]), CAST(:version_id AS bigint[]), CAST(:rows AS text[]), CAST(:fx_id AS bigint[]), CAST(:rule_id AS bigint[]),
                  CAST(:uncharged_id AS bigint[]), CAST(:dialect AS text[]), CAST(:dialect_version AS int[]), CAST(:rater_version AS int[]),
                  CAST(:hashes AS bytea[]))
           AS s({", ".join(StampContent._fields)}, content_hash)
    ON CONFLICT DO NOTHING
""")
_LOAD = text(f"SELECT id, {', '.join(StampContent._fields)} FROM stamps WHERE id = ANY(:ids)")
_encode = msgspec.json.Encoder().encode
GIVEN_HASH = sha256(b"given").digest()


def stamp_ids(connection: Connection, stamps: Collection[StampContent]) -> dict[StampContent, int]:
    """The id of each stamp, which is kept from now on if it is new. Asked for each time: another database has other ids."""
    if not stamps:
        return {}
    hashes = dict(sorted((stamp_hash(stamp), stamp) for stamp in stamps))
    found = _found(connection, hashes)
    if new := {digest: stamp for digest, stamp in hashes.items() if stamp not in found}:
        columns: dict[str, list[object]] = {name: [getattr(stamp, name) for stamp in new.values()] for name in StampContent._fields}
        columns["rows"] = [",".join(map(str, stamp.rows)) for stamp in new.values()]
        connection.execute(_ADD, {**columns, "hashes": list(new)})
        found |= _found(connection, new)
    return found


def load_stamps(connection: Connection, ids: Collection[int]) -> dict[int, StampContent]:
    """What the amounts under these stamps were computed from."""
    return {row["id"]: stamp_of(row) for row in connection.execute(_LOAD, {"ids": list(ids)}).mappings()}


def stamp_of(row: RowMapping) -> StampContent:
    """The stamp that a row of the table is."""
    told = {name: row[name] for name in StampContent._fields}
    return StampContent(**{**told, "kind": StampKind(row["kind"]), "rows": tuple(row["rows"])})


def stamp_hash(stamp: StampContent) -> bytes:
    """SHA-256 of what a stamp says, by which it is found; the first one, of prices as they were given, has another (`GIVEN_HASH`)."""
    return sha256(_encode(stamp)).digest()


def _found(connection: Connection, hashes: dict[bytes, StampContent]) -> dict[StampContent, int]:
    return {hashes[bytes(digest)]: stamp_id for digest, stamp_id in connection.execute(_FIND, {"hashes": list(hashes)})}
