"""SQL that tells which mandates there are."""

from collections.abc import Iterable

from sqlalchemy import Connection, text

_UNKNOWN = text("""
    SELECT wanted.id FROM unnest(CAST(:mandate_ids AS text[])) AS wanted(id)
     WHERE NOT EXISTS (SELECT FROM directory_mandates WHERE id = wanted.id)
       AND NOT EXISTS (SELECT FROM billing_settings WHERE mandate_id = wanted.id)
""")


def unknown_mandates(connection: Connection, mandate_ids: Iterable[str]) -> list[str]:
    """Those that the directory doesn't know and that have no billing settings, without which nothing is ever booked."""
    return list(connection.execute(_UNKNOWN, {"mandate_ids": list(mandate_ids)}).scalars())
