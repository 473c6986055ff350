"""SQL of the names that people see: what the directory calls a mandate or a user, or else their id."""


def mandate_name(mandate_id: str) -> str:
    """The name of the mandate with this id, an expression of SQL, where `d` is its row of `directory_mandates`, if it has one."""
    return f"coalesce(nullif(d.label, ''), nullif(d.name, ''), {mandate_id})"


def user_name(*user_ids: str) -> str:
    """The name of a user, where `u` is the row of `directory_users`, if there is one; without a name the first of these ids that is not NULL."""
    return f"coalesce(nullif(u.display_name, ''), nullif(u.username, ''), {', '.join(user_ids)})"


# Row by row (OFFSET 0): the planner, which can't always tell how few rows a page has, would rather read all names.


def join_mandate(mandate_id: str) -> str:
    """The join that brings `d`, the row of `directory_mandates` with this id, if there is one."""
    return f"LEFT JOIN LATERAL (SELECT * FROM directory_mandates WHERE id = {mandate_id} OFFSET 0) AS d ON true"


def join_user(user_id: str) -> str:
    """The join that brings `u`, the row of `directory_users` with this id, if there is one."""
    return f"LEFT JOIN LATERAL (SELECT * FROM directory_users WHERE id = {user_id} OFFSET 0) AS u ON true"
