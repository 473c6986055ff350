"""SQL of who belongs to a mandate: the directory's memberships decide, not who has an account.

Of a mandate that the directory doesn't know, which only books without a directory have, whoever has an account is a member.
"""

from sqlalchemy import Connection, text

from core.directory.sql.names import user_name

_UNKNOWN_TO_DIRECTORY = "NOT EXISTS (SELECT FROM directory_mandates k WHERE k.id = a.mandate_id)"
_WITHOUT_MEMBERSHIP = "NOT EXISTS (SELECT FROM directory_memberships k WHERE k.mandate_id = a.mandate_id AND k.user_id = a.user_id)"


def memberships_of_user(condition: str) -> str:
    """A query for the `mandate_id` of each mandate of which the user `:user_id` is an enabled member, each once.

    Args:
        condition: on the mandate's id, with `{}` in its place.
    """
    return f"""
        SELECT m.mandate_id FROM directory_memberships m WHERE m.user_id = CAST(:user_id AS text) AND m.enabled AND {condition.format("m.mandate_id")}
        UNION ALL
        SELECT a.mandate_id FROM accounts a
         WHERE a.user_id = CAST(:user_id AS text) AND {_UNKNOWN_TO_DIRECTORY} AND {_WITHOUT_MEMBERSHIP} AND {condition.format("a.mandate_id")}
    """


_FIND = text(f"""
    SELECT {user_name("CAST(:user_id AS text)")} AS user_name
      FROM ({memberships_of_user("{} = :mandate_id")}) AS m LEFT JOIN directory_users u ON u.id = CAST(:user_id AS text)
""")


def find_member(connection: Connection, mandate_id: str, user_id: str) -> str | None:
    """The name of the user, if they are an enabled member of the mandate."""
    name: str | None = connection.execute(_FIND, {"mandate_id": mandate_id, "user_id": user_id}).scalar_one_or_none()
    return name
