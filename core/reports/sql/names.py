"""SQL that looks names up which nothing was recorded under yet."""

from sqlalchemy import text

KNOWN_USER = text("""
    SELECT EXISTS (SELECT FROM directory_users WHERE id = :user_id) OR EXISTS (SELECT FROM directory_memberships WHERE user_id = :user_id)
        OR EXISTS (SELECT FROM accounts WHERE user_id = :user_id)
""")
# An empty book says nothing about models.
KNOWN_MODEL = text("""
    SELECT NOT EXISTS (SELECT FROM price_book WHERE version_id = :version_id)
        OR EXISTS (SELECT FROM price_aliases WHERE alias = :model)
        OR EXISTS (SELECT FROM price_rows r JOIN price_book b ON b.row_id = r.id WHERE r.model = :model AND b.version_id = :version_id)
""")
