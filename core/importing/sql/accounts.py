"""SQL of imported settings and accounts: opened as given, taken over with their balances, read back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from core.database.database import plan_each_time, transaction_time
from core.database.locks import Lock, try_hold
from core.database.packing import packed, unpacked
from core.importing.sql.entries import Sums
from core.ledger.kinds import GRANT
from core.ledger.sql.accounts import Holder
from core.settings.model import SETTINGS

# Within an import tables grow, and the planner's statistics learn of it only afterwards. So a statement is planned each time, and
# what is looked up row by row has only one index to choose: what OFFSET 0 fences off can't be joined in another order.

_VERSIONS = text(
    f"SELECT {', '.join(('mandate_id', *SETTINGS))} FROM billing_settings_history WHERE mandate_id = ANY(:mandate_ids) ORDER BY mandate_id, version"
)

_FIND = text(f"""
    SELECT wanted.mandate_id, wanted.user_id, a.id
      FROM unnest({unpacked("mandate_ids")}, {unpacked("user_ids")}) AS wanted(mandate_id, user_id)
     CROSS JOIN LATERAL (
               SELECT id FROM accounts WHERE mandate_id = wanted.mandate_id AND user_id = wanted.user_id
               UNION ALL
               SELECT id FROM accounts WHERE mandate_id = wanted.mandate_id AND user_id IS NULL AND wanted.user_id IS NULL) AS a
""")

# Whoever comes to make the grant later finds its key taken; who came before has it, and is seen by the statement that follows.
_REPLACE_GRANTS = text("""
    INSERT INTO operation_keys (mandate_id, operation, idempotency_key, content_hash, hash_version, result)
    SELECT mandate_id, 'grant', 'grant:' || id, sha256('opening'), 1, '{"opening": true}'
      FROM accounts WHERE id = ANY(:ids) AND user_id IS NOT NULL ORDER BY id
    ON CONFLICT DO NOTHING
""")

# An account's grant is what one that was opened before the import began with.
_GRANT = f"""
      LEFT JOIN LATERAL (
               SELECT t.amount
                 FROM (SELECT recorded_at FROM operation_keys
                        WHERE mandate_id = a.mandate_id AND operation = 'grant' AND idempotency_key = 'grant:' || a.id
                          AND result ->> 'opening' IS NULL OFFSET 0) AS g
                CROSS JOIN LATERAL (SELECT amount FROM transactions
                                     WHERE account_id = a.id AND recorded_at = g.recorded_at
                                       AND reference_type = '{GRANT.reference_type}' AND balance_account_id = a.id OFFSET 0) AS t
                OFFSET 0) AS granted ON true
"""

_STANDING = text(f"""
    SELECT a.id, a.opened_at = now() AS is_new, coalesce(granted.amount, 0) AS granted
      FROM accounts a {_GRANT} WHERE a.id = ANY(:ids)
""")

_TAKE_OVER = text(f"""
    UPDATE accounts a
       SET warning_threshold = n.threshold, credit_limit = coalesce(n.credit_limit, a.credit_limit), enabled = coalesce(n.enabled, a.enabled),
           grant_due = false
      FROM unnest({unpacked("ids", "bigint")}, {unpacked("thresholds", "numeric")}, {unpacked("limits", "numeric")},
                  {unpacked("enabled", "boolean")}) AS n(id, threshold, credit_limit, enabled)
     WHERE a.id = n.id
""")

_OPENED = text("""
    SELECT mandate_id, CAST(sum(keys) AS bigint), sum(amount)
      FROM (SELECT mandate_id, 1 AS keys, 0 AS amount FROM operation_keys WHERE operation = :operation AND recorded_at = now()
            UNION ALL
            SELECT mandate_id, 0, amount FROM transactions
             WHERE recorded_at = now() AND batch_id IS NULL AND operation_key LIKE :operation || ':%' AND balance_account_id = account_id) AS opened
     GROUP BY mandate_id
""")


class TakenOver(NamedTuple):
    """What is given of an account beside its balance; amounts in CHF. What is None stays."""

    id: int
    warning_threshold: Decimal
    credit_limit: Decimal | None
    enabled: bool | None


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """Whether this transaction opened the account, and the grant (CHF) that it got before."""

    is_new: bool
    granted: Decimal


def begin_import(connection: Connection) -> datetime | None:
    """The time that everything in this transaction is recorded at; none if another import is under way."""
    plan_each_time(connection)
    return transaction_time(connection) if try_hold(connection, Lock.IMPORT) else None


def settings_versions(connection: Connection, mandate_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Every version of these mandates' settings, the newest last."""
    versions: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(_VERSIONS, {"mandate_ids": list(mandate_ids)}).mappings():
        versions.setdefault(row["mandate_id"], []).append(dict(row))
    return versions


def find_holders(connection: Connection, holders: Iterable[Holder]) -> dict[Holder, int]:
    """The ids of those accounts that exist."""
    wanted = set(holders)
    rows = connection.execute(_FIND, {"mandate_ids": packed(h[0] for h in wanted), "user_ids": packed(h[1] for h in wanted)})
    return {(mandate_id, user_id): account_id for mandate_id, user_id, account_id in rows}


def replace_grants(connection: Connection, account_ids: Sequence[int]) -> None:
    """No user's account among these gets a grant any more, whoever tries; one that it has stays. They are locked after this."""
    connection.execute(_REPLACE_GRANTS, {"ids": list(account_ids)})


def standing_of(connection: Connection, account_ids: Sequence[int]) -> dict[int, AccountStanding]:
    """How these accounts came to be, by id."""
    return {row.id: AccountStanding(row.is_new, row.granted) for row in connection.execute(_STANDING, {"ids": list(account_ids)})}


def take_over_accounts(connection: Connection, accounts: Sequence[TakenOver]) -> None:
    """Sets what is given of accounts that the caller has locked and whose balances stand; a grant is due to none of them any more."""
    if accounts:
        columns = zip(("ids", "thresholds", "limits", "enabled"), zip(*accounts, strict=True), strict=True)
        connection.execute(_TAKE_OVER, {name: packed(values) for name, values in columns})


def sum_new_openings(connection: Connection, operation: str) -> Sums:
    """Per mandate how many openings this transaction has claimed, and the sum of their entries, as the books have it."""
    return [(row[0], row[1], row[2]) for row in connection.execute(_OPENED, {"operation": operation})]
