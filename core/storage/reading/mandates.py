"""SQL that tells which mandates there are."""

from sqlalchemy import Connection, text

_EXISTS = text("""
    SELECT EXISTS (SELECT FROM directory_mandates WHERE id = :mandate_id) OR EXISTS (SELECT FROM billing_settings WHERE mandate_id = :mandate_id)
""")


def mandate_exists(connection: Connection, mandate_id: str) -> bool:
    """Whether the directory knows the mandate or it has billing settings, without which nothing is ever booked."""
    return bool(connection.execute(_EXISTS, {"mandate_id": mandate_id}).scalar_one())
