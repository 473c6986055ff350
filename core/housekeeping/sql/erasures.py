"""SQL that erases what the books hold of a person beside the id, under the owner's login: no worker may change what is written."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from core.ledger.kinds import WRITTEN

ERASED = "[erased]"
_OF_OURS = (*{kind.description for kind in WRITTEN if kind.description}, ERASED)  # descriptions that nobody wrote

_HERE = "(CAST(:mandate_ids AS text[]) IS NULL OR {} = ANY(:mandate_ids))"
_NAMED = "(position(CAST(:quoted AS bytea) IN l.body) > 0 OR position(CAST(:escaped AS bytea) IN l.body) > 0)"
_KNOWN = text("""
    SELECT EXISTS (SELECT FROM accounts WHERE user_id = :user_id) OR EXISTS (SELECT FROM directory_users WHERE id = :user_id)
        OR EXISTS (SELECT FROM directory_memberships WHERE user_id = :user_id) OR EXISTS (SELECT FROM erasures WHERE user_id = :user_id)
""")
_NAMES = text("""
    UPDATE directory_users SET username = NULL, display_name = NULL
     WHERE CAST(:mandate_ids AS text[]) IS NULL AND id = :user_id AND (username IS NOT NULL OR display_name IS NOT NULL)
""")
_DESCRIPTIONS = text(f"""
    UPDATE transactions t SET description = '{ERASED}'
      FROM accounts a
     WHERE a.user_id = :user_id AND {_HERE.format("a.mandate_id")} AND t.account_id = a.id AND t.description <> ALL(:of_ours)
""")
_CORRECTED = "(position(CAST(:quoted AS bytea) IN l.corrected_body) > 0 OR position(CAST(:escaped AS bytea) IN l.corrected_body) > 0)"
_LETTERS = text(f"""
    UPDATE dead_letters l
       SET body = '', detail = '{ERASED}', erased_at = now(), corrected_body = CASE WHEN l.corrected_body IS NOT NULL THEN CAST('' AS bytea) END
     WHERE l.status <> 'OPEN' AND l.erased_at IS NULL AND {_HERE.format("l.mandate_id")} AND ({_NAMED} OR {_CORRECTED})
""")
_OPEN_LETTERS = text(f"SELECT count(*) FROM dead_letters l WHERE l.status = 'OPEN' AND {_HERE.format('l.mandate_id')} AND {_NAMED}")
_PARKED = text(f"SELECT count(*) FROM parked_events l WHERE {_HERE.format('l.mandate_id')} AND {_NAMED}")
_KEEP = text("""
    INSERT INTO erasures (user_id, mandate_ids, erased_by, reason, counts)
    VALUES (:user_id, :mandate_ids, :erased_by, :reason, CAST(:counts AS jsonb))
""")


def knows_user(connection: Connection, user_id: str) -> bool:
    """Whether the books or the directory have a user with this id, or had its names."""
    return bool(connection.execute(_KNOWN, {"user_id": user_id}).scalar_one())


def erase_user(connection: Connection, user_id: str, mandate_ids: Sequence[str] | None) -> dict[str, int]:
    """Erases the names (where no mandates are named), the descriptions, and the bodies of resolved letters that name the user.

    Call `hold_decisions` first. A letter names a user by the id as a JSON string.

    Returns:
        How many of each were erased, and how many open letters and parked events still name the user.
    """
    quoted, escaped = (json.dumps(user_id, ensure_ascii=ascii_only).encode() for ascii_only in (False, True))
    asked = {"user_id": user_id, "mandate_ids": None if mandate_ids is None else list(mandate_ids), "quoted": quoted, "escaped": escaped}
    return {
        "names": connection.execute(_NAMES, asked).rowcount,
        "descriptions": connection.execute(_DESCRIPTIONS, asked | {"of_ours": list(_OF_OURS)}).rowcount,
        "letters": connection.execute(_LETTERS, asked).rowcount,
        "open_letters_left": connection.execute(_OPEN_LETTERS, asked).scalar_one(),
        "parked_events_left": connection.execute(_PARKED, asked).scalar_one(),
    }


def keep_erasure(
    connection: Connection, user_id: str, mandate_ids: Sequence[str] | None, *, erased_by: str, reason: str, counts: Mapping[str, int]
) -> None:
    """Writes down what was erased, by whose word and why; names of a user erased everywhere can't be written any more."""
    mandates = None if mandate_ids is None else list(mandate_ids)
    kept = {"user_id": user_id, "mandate_ids": mandates, "erased_by": erased_by, "reason": reason, "counts": json.dumps(dict(counts))}
    connection.execute(_KEEP, kept)
