"""SQL of usage shapes: what usage objects look like without their values, each kept once."""

from collections.abc import Collection, Sequence
from hashlib import sha256

from sqlalchemy import Connection, text

from core.events.usage_object import RawUsage

_WHOLE = "%s"  # the shape of an object that is kept as one value: its canonical JSON, which has no line breaks
_LENGTH_MAX = 1024  # characters of a shape that is kept for others
_SHAPES_MAX = 20_000  # beyond which keys seem to be data; nothing is lost, but each object takes its own room

_FIND = text("SELECT content_hash, id FROM usage_shapes WHERE content_hash = ANY(:hashes)")

# In the order of their hashes, so that two who bring the same new ones don't wait for each other in a circle.
_ADD = text(f"""
    INSERT INTO usage_shapes (shape, content_hash)
    SELECT s.shape, s.content_hash FROM unnest(CAST(:shapes AS text[]), CAST(:hashes AS bytea[])) AS s(shape, content_hash)
     WHERE s.shape = '{_WHOLE}' OR (SELECT count(*) FROM (SELECT FROM usage_shapes LIMIT {_SHAPES_MAX}) AS kept) < {_SHAPES_MAX}
    ON CONFLICT DO NOTHING
""")


def keep_usage(connection: Connection, usages: Sequence[RawUsage | None]) -> tuple[list[int | None], list[str | None]]:
    """The shape's id and the values of each usage object; shapes that are new are kept from now on.

    Asked for each time: another database has other ids. An object whose shape is very long, or one too many, is kept whole.
    """
    shapes = {one.shape for one in usages if one is not None and len(one.shape) <= _LENGTH_MAX}
    ids = _shape_ids(connection, shapes)
    if any(one is not None and one.shape not in ids for one in usages):
        ids |= _shape_ids(connection, {_WHOLE})
    kept = [None if one is None else (ids[one.shape], one.values) if one.shape in ids else (ids[_WHOLE], one.canonical) for one in usages]
    return [None if one is None else one[0] for one in kept], [None if one is None else one[1] for one in kept]


def _shape_ids(connection: Connection, shapes: Collection[str]) -> dict[str, int]:
    """The ids of the shapes, but of those for which there is no room."""
    if not shapes:
        return {}
    hashes = dict(sorted((sha256(shape.encode()).digest(), shape) for shape in shapes))
    found = _found(connection, hashes)
    if new := {digest: shape for digest, shape in hashes.items() if shape not in found}:
        connection.execute(_ADD, {"shapes": list(new.values()), "hashes": list(new)})
        found |= _found(connection, new)
    return found


def _found(connection: Connection, hashes: dict[bytes, str]) -> dict[str, int]:
    return {hashes[bytes(digest)]: shape_id for digest, shape_id in connection.execute(_FIND, {"hashes": list(hashes)})}
