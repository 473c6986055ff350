"""SQL of versions: whole books of rows, which versions share by content."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from core.database.database import allow_time
from core.database.rows import row, rows
from core.dialects.model import Leaf
from core.prices.content import content_hash
from core.prices.model import Boundary, Layer, PriceRow
from core.prices.version import Version

_CHUNK = 5_000
_KINDS = {
    **dict.fromkeys(("layer", "mandate_id", "book", "provider", "model", "region_scope", "service_tier", "processing", "speed", "leaf"), "text"),
    **dict.fromkeys(("boundary", "currency", "basis", "source"), "text"),
    "from_tokens": "bigint",
    "amount": "numeric",
    "per": "integer",
}
_COLUMNS = ", ".join(_KINDS)
_RECORD = ", ".join(f"{name} {kind}" for name, kind in _KINDS.items())
ROW = f"r.id, {', '.join(f'r.{name}' for name in _KINDS)}, lower(r.valid) AS valid_from, upper(r.valid) AS valid_to"

_VERSION = """
    v.id, v.based_on, v.source, v.source_hash, v.defaults, v.notes, v.row_count, v.proposed_by, v.proposed_at, v.accepted_by, v.accepted_at,
    v.accepted_revision, v.id IS NOT DISTINCT FROM (SELECT active_version FROM price_state) AS active
"""
_FIND = text(f"SELECT {_VERSION} FROM price_versions v WHERE v.id = :version_id")
_LIST = text(f"""
    SELECT {_VERSION} FROM price_versions v WHERE v.id < CAST(:before AS bigint) ORDER BY v.id DESC LIMIT :limit OFFSET :offset
""")
_DEFAULTS = text("SELECT defaults FROM price_versions WHERE id = :version_id")
_ACCEPT = text("""
    UPDATE price_versions SET accepted_by = :accepted_by, accepted_at = now(), accepted_revision = :revision WHERE id = :version_id
""")
_PROPOSE = text("""
    INSERT INTO price_versions (based_on, source, source_hash, defaults, notes, row_count, proposed_by)
    VALUES (:based_on, :source, :source_hash, CAST(:defaults AS jsonb), CAST(:notes AS jsonb), :row_count, :proposed_by)
    RETURNING id
""")
# A row that is there already is looked for first: what ON CONFLICT leaves out would take an id all the same.
_PUT_ROWS = text(f"""
    INSERT INTO price_rows (content_hash, {_COLUMNS}, valid)
    SELECT decode(g.content_hash, 'hex'), {", ".join(f"g.{name}" for name in _KINDS)}, tstzrange(g.valid_from, g.valid_to)
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS g(content_hash text, {_RECORD}, valid_from timestamptz, valid_to timestamptz)
     WHERE NOT EXISTS (SELECT FROM price_rows r WHERE r.content_hash = decode(g.content_hash, 'hex'))
     ORDER BY g.content_hash
    ON CONFLICT (content_hash) DO NOTHING
""")
_PUT_BOOK = text("""
    INSERT INTO price_book (version_id, row_id)
    SELECT :version_id, r.id FROM unnest(CAST(:hashes AS bytea[])) AS wanted(content_hash) JOIN price_rows r USING (content_hash)
""")
_BOOK = text(f"""
    SELECT {ROW} FROM price_book b JOIN price_rows r ON r.id = b.row_id WHERE b.version_id = :version_id ORDER BY r.id
""")
_ROWS = text(f"SELECT {ROW} FROM price_rows r WHERE r.id = ANY(:ids) ORDER BY r.id")
_OF_MODEL = text(f"""
    SELECT {ROW} FROM price_book b JOIN price_rows r ON r.id = b.row_id
     WHERE b.version_id = :version_id AND r.model = :model AND (CAST(:provider AS text) IS NULL OR r.provider = :provider)
     ORDER BY r.id
""")
_HAS_BOOK = text("""
    SELECT EXISTS (SELECT FROM price_book b JOIN price_rows r ON r.id = b.row_id WHERE b.version_id = :version_id AND r.book = :book)
""")
# What one version has and another lacks, rows that both share left out.
_ONLY_IN = text(f"""
    SELECT {ROW} FROM price_book b JOIN price_rows r ON r.id = b.row_id
     WHERE b.version_id = :version_id AND NOT EXISTS (SELECT FROM price_book o WHERE o.version_id = :other_id AND o.row_id = b.row_id)
     ORDER BY r.id
""")


def find_version(connection: Connection, version_id: int) -> Version | None:
    """The version, accepted or not."""
    return row(connection, Version, _FIND, version_id=version_id)


def list_versions(connection: Connection, limit: int, offset: int, before: int | None) -> list[Version]:
    """The newest versions first."""
    return rows(connection, Version, _LIST, limit=limit, offset=offset, before=before or 2**63 - 1)


def defaults_of(connection: Connection, version_id: int | None) -> dict[str, dict[str, str]]:
    """By provider, what stands for a dimension that an event doesn't tell; nothing without a version."""
    found: dict[str, dict[str, str]] | None = connection.execute(_DEFAULTS, {"version_id": version_id}).scalar_one_or_none()
    return found or {}


def write_version(
    connection: Connection,
    book: Sequence[PriceRow],
    named: Mapping[str, object],
    *,
    defaults: Mapping[str, Mapping[str, str]],
    notes: Mapping[str, object],
) -> int:
    """Writes a proposal with all of its rows, which are sorted, so that two at once don't wait in a circle, and returns its id.

    `named` are its columns `based_on`, `source`, `source_hash` and `proposed_by`.

    Raises:
        BadData: two rows price the same at one time.
    """
    allow_time(connection)
    told = {**named, "row_count": len(book), "defaults": json.dumps(defaults), "notes": json.dumps(notes)}
    version_id: int = connection.execute(_PROPOSE, told).scalar_one()
    for first in range(0, len(book), _CHUNK):
        chunk = book[first : first + _CHUNK]
        hashes = [content_hash(one) for one in chunk]
        new = [_record(one, hashed) for one, hashed in zip(chunk, hashes, strict=True) if not one.id]
        if new:
            connection.execute(_PUT_ROWS, {"rows": json.dumps(new)})
        connection.execute(_PUT_BOOK, {"version_id": version_id, "hashes": hashes})
    return version_id


def _record(one: PriceRow, hashed: bytes) -> dict[str, Any]:
    told = {name: getattr(one, name) for name in _KINDS}
    times = {"valid_from": _text(one.valid_from), "valid_to": _text(one.valid_to)}
    return {**told, **times, "amount": format(one.amount, "f"), "content_hash": hashed.hex()}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def accept_version(connection: Connection, version_id: int, accepted_by: str, revision: int) -> None:
    """From now on the version stays as it is. The caller holds the prices."""
    connection.execute(_ACCEPT, {"version_id": version_id, "accepted_by": accepted_by, "revision": revision})


def load_book(connection: Connection, version_id: int) -> list[PriceRow]:
    """All rows of a version, by id."""
    return _made(connection, _BOOK, version_id=version_id)


def rows_by_id(connection: Connection, ids: Iterable[int]) -> list[PriceRow]:
    """These rows, of whatever version, by id."""
    return _made(connection, _ROWS, ids=list(ids))


def rows_of_model(connection: Connection, version_id: int, model: str, provider: str | None) -> list[PriceRow]:
    """A version's rows of a model, of one provider or of all."""
    return _made(connection, _OF_MODEL, version_id=version_id, model=model, provider=provider)


def rows_only_in(connection: Connection, version_id: int, other_id: int | None) -> list[PriceRow]:
    """The rows of one version that another one doesn't have."""
    return _made(connection, _ONLY_IN, version_id=version_id, other_id=other_id)


def has_book(connection: Connection, version_id: int | None, book: str) -> bool:
    """Whether the version has rows of this SALE book."""
    found: bool = connection.execute(_HAS_BOOK, {"version_id": version_id, "book": book}).scalar_one()
    return found


def _made(connection: Connection, statement: Any, **parameters: object) -> list[PriceRow]:
    return rows(connection, price_row, statement, **parameters)


def price_row(**columns: Any) -> PriceRow:
    """The row that these columns, as `ROW` names them, are."""
    boundary = columns["boundary"]
    columns["layer"], columns["leaf"] = Layer(columns["layer"]), Leaf(columns["leaf"])
    columns["boundary"] = None if boundary is None else Boundary(boundary)
    return PriceRow(**columns)
