"""SQL of all accounts of one mandate together, for a change of its billing model; each statement once, however many there are."""

from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.database.rows import rows
from core.ledger.sql.accounts import LockedAccount

# OFFSET 0 has each member looked up: a planner that has never heard of the mandate would read all of its accounts for each one.
# So has whoever has an open hold, which somebody must pay for.
_USERS_WITHOUT_ACCOUNT = """
    SELECT m.user_id
      FROM (SELECT user_id FROM directory_memberships WHERE mandate_id = :mandate_id AND enabled
             UNION SELECT user_id FROM holds WHERE mandate_id = :mandate_id AND settled_at IS NULL) AS m
     WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.mandate_id = :mandate_id AND a.user_id = m.user_id OFFSET 0)
"""

_OPEN = text(f"""
    INSERT INTO accounts (mandate_id, user_id, account_type, grant_due, opened_version)
    SELECT :mandate_id, n.user_id, CASE WHEN n.user_id IS NULL THEN 'MANDATE' ELSE 'USER' END, n.user_id IS NOT NULL AND :grant_due, :version
      FROM (SELECT CAST(NULL AS text) AS user_id WHERE :with_pool UNION ALL {_USERS_WITHOUT_ACCOUNT}) AS n
     ORDER BY n.user_id COLLATE "C" NULLS FIRST
    ON CONFLICT (mandate_id, user_id) DO NOTHING
""")

_ABSENT = text(_USERS_WITHOUT_ACCOUNT + ' ORDER BY m.user_id COLLATE "C"')

_LIST = """
    SELECT id, mandate_id, user_id, enabled, balance, warning_threshold, credit_limit FROM accounts WHERE mandate_id = :mandate_id ORDER BY id
"""

_READ, _LOCK = text(_LIST), text(_LIST + " FOR NO KEY UPDATE")


class MandateAccount(NamedTuple):
    """One account of the mandate, the pool without a user; amounts in CHF. Without an id it is one that would be opened."""

    id: int | None
    mandate_id: str
    user_id: str | None
    enabled: bool
    balance: Decimal
    warning_threshold: Decimal
    credit_limit: Decimal | None

    @property
    def locked(self) -> LockedAccount:
        """The account as those who move balances take it, once it is there and locked."""
        assert self.id is not None
        return LockedAccount(self.id, self.mandate_id, self.user_id is None, self.balance, self.warning_threshold, self.credit_limit)


def open_mandate_accounts(connection: Connection, mandate_id: str, *, with_pool: bool, grant_due: bool, version: int) -> int:
    """Every enabled member, and whoever has an open hold, has an account afterwards, at 0 where it is new, and `with_pool` the mandate its pool.

    Returns the number opened. The caller holds the mandate, so that nobody else opens any.
    """
    parameters = {"mandate_id": mandate_id, "with_pool": with_pool, "grant_due": grant_due, "version": version}
    return connection.execute(_OPEN, parameters).rowcount


def lock_mandate_accounts(connection: Connection, mandate_id: str) -> list[MandateAccount]:
    """All accounts of the mandate by id; nobody else can move them before the transaction ends."""
    return rows(connection, MandateAccount, _LOCK, mandate_id=mandate_id)


def read_mandate_accounts(connection: Connection, mandate_id: str) -> list[MandateAccount]:
    """All accounts of the mandate by id, as they are now."""
    return rows(connection, MandateAccount, _READ, mandate_id=mandate_id)


def members_without_account(connection: Connection, mandate_id: str) -> list[str]:
    """The users whom `open_mandate_accounts` would give an account, in that order."""
    return list(connection.execute(_ABSENT, {"mandate_id": mandate_id}).scalars())
