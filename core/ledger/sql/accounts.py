"""SQL of accounts: found, locked in order, moved."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, text

from core.database.packing import packed, unpacked, unpacked_rows
from core.money import ZERO

Holder = tuple[str, str | None]  # mandate id, user id; no user: the mandate's pool

# What is found comes back as one array of each column, in the order of what was asked for.
_FIND = text(f"""
    SELECT array_agg(a.id ORDER BY h.place), array_agg(coalesce(m.enabled, false) ORDER BY h.place)
      FROM unnest({unpacked("mandate_ids")}, {unpacked("user_ids")}) WITH ORDINALITY AS h(mandate_id, user_id, place)
      LEFT JOIN accounts a ON a.mandate_id = h.mandate_id AND a.user_id = h.user_id
      LEFT JOIN directory_memberships m ON m.mandate_id = h.mandate_id AND m.user_id = h.user_id
     WHERE h.mandate_id IS NOT NULL
""")

_FIND_POOLS = text("SELECT mandate_id, id FROM accounts WHERE mandate_id = ANY(:mandate_ids) AND user_id IS NULL")

_LOCK = text("""
    SELECT id, mandate_id, user_id IS NULL AS is_pool, balance, warning_threshold, credit_limit
      FROM accounts WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE
""")

# The ids come sorted, and each row is locked by its own update. In a transaction that finds what it wants by keys alone (`begin_batch`) the
# planner either looks the accounts up one by one in that order, or, where there are hardly any, goes through their primary key, which is the
# same order. What comes back is how many accounts there were, and those among them that may have crossed a line on the way down. IS TRUE
# keeps it from looking accounts up by their mandate, which reads all accounts of a mandate for each one.
_DEBITED = {"id": "bigint", "mandate_id": "text", "amount": "numeric"}


def _debit(more: str, columns: Mapping[str, str]) -> TextClause:
    return text(f"""
    WITH debited AS (
        UPDATE accounts a SET balance = a.balance - d.amount{more}
          FROM {unpacked_rows(columns)} AS d
         WHERE a.id = d.id AND (a.mandate_id = d.mandate_id) IS TRUE
        RETURNING a.id, a.mandate_id, a.user_id IS NULL AS is_pool, a.balance + d.amount AS balance, a.warning_threshold, a.credit_limit,
                  a.balance AS balance_after
    )
    SELECT (SELECT count(*) FROM debited) AS debited, near.*
      FROM (SELECT) AS one
      LEFT JOIN debited near ON near.credit_limit IS NOT NULL OR near.balance_after < 0 AND near.balance >= 0
                             OR near.balance_after <= near.warning_threshold AND near.balance > near.warning_threshold
    """)


_DEBIT = _debit("", _DEBITED)
# Holds that the usage has taken from. What isn't held can't be freed, and usage is recorded all the same: H1 tells of it.
_DEBIT_AND_FREE = _debit(", held = greatest(a.held - d.freed, 0)", {**_DEBITED, "freed": "numeric"})


_SET = text(f"""
    UPDATE accounts SET balance = n.balance, warning_threshold = n.threshold, grant_due = grant_due AND NOT n.granted
      FROM unnest({unpacked("ids", "bigint")}, {unpacked("balances", "numeric")}, {unpacked("thresholds", "numeric")},
                  {unpacked("granted", "boolean")}) AS n(id, balance, threshold, granted)
     WHERE accounts.id = n.id
""")


class LockedAccount(NamedTuple):
    """An account whose balance nobody else can move before this transaction ends; amounts in CHF."""

    id: int
    mandate_id: str
    is_pool: bool
    balance: Decimal
    warning_threshold: Decimal
    credit_limit: Decimal | None


def find_user_accounts(connection: Connection, holders: Sequence[Holder]) -> dict[Holder, tuple[int | None, bool]]:
    """For each holder, at least one, the account's id, if there is one, and whether the directory has the membership enabled."""
    parameters = {"mandate_ids": packed([holder[0] for holder in holders]), "user_ids": packed([holder[1] for holder in holders])}
    account_ids, known = connection.execute(_FIND, parameters).one()
    return dict(zip(holders, zip(account_ids, known, strict=True), strict=True))


def find_pools(connection: Connection, mandate_ids: Iterable[str]) -> dict[Holder, int]:
    """The pool accounts of those mandates that have one."""
    return {(row.mandate_id, None): row.id for row in connection.execute(_FIND_POOLS, {"mandate_ids": list(mandate_ids)})}


def lock_accounts(connection: Connection, account_ids: Iterable[int]) -> list[LockedAccount]:
    """Locks the accounts in the order of their ids, the same everywhere, so that two batches can't deadlock."""
    return [LockedAccount._make(row) for row in connection.execute(_LOCK, {"ids": sorted(account_ids)})]


def debit_accounts(
    connection: Connection, amounts: Mapping[int, Decimal], mandate_ids: Sequence[str], freed: Mapping[int, Decimal] | None = None
) -> tuple[int, list[tuple[LockedAccount, Decimal]]]:
    """Takes each amount (CHF, not negative) off its account's balance; the caller writes the transactions that explain it.

    Args:
        connection: of the caller's transaction.
        amounts: by account id, in the order of the ids, the same everywhere, so that two batches can't deadlock.
        mandate_ids: whose account each of them must be, in the same order.
        freed: what their `held` gets less (CHF), for some of them.

    Returns:
        The number of accounts found, and those that may have crossed a line: as they were, and the balance they have now.
    """
    columns = {"id": packed(amounts), "mandate_id": packed(mandate_ids), "amount": packed(amounts.values())}
    if freed:
        columns["freed"] = packed(freed.get(account_id, ZERO) for account_id in amounts)
    rows = connection.execute(_DEBIT_AND_FREE if freed else _DEBIT, columns).all()
    return rows[0][0], [(LockedAccount._make(row[1:7]), row[7]) for row in rows if row[1] is not None]


def set_balances(connection: Connection, accounts: Sequence[LockedAccount], granted: Collection[int] = ()) -> None:
    """Writes balance and warning threshold of accounts that the caller has locked; whose grant is made it is due no more.

    The caller writes the transactions that explain them.
    """
    if not accounts:
        return
    connection.execute(
        _SET,
        {
            "ids": packed(a.id for a in accounts),
            "balances": packed(a.balance for a in accounts),
            "thresholds": packed(a.warning_threshold for a in accounts),
            "granted": packed(a.id in granted for a in accounts),
        },
    )
