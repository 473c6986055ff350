"""SQL of repairs: what of the books doesn't follow from the ledger and can be made to."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.ledger.sql.accounts import LockedAccount
from core.ledger.sql.balance_at import pool_balance_at, user_balance_at
from core.verifying.sql.invariants.balances import WRONG_BALANCES
from core.verifying.sql.invariants.invariant import EVER
from core.verifying.sql.invariants.rollups import EVERY_DIFFERENCE

_EVER_AFTER = datetime.max.replace(tzinfo=UTC)

_BALANCES = text(f"""
    SELECT mandate_id, account_id, user_id, balance, ledger FROM ({WRONG_BALANCES}) AS wrong
     WHERE CAST(:mandate_id AS text) IS NULL OR mandate_id = :mandate_id ORDER BY mandate_id, account_id
""")

_STATISTICS = text(f"""
    SELECT mandate_id, count(*) AS rows FROM ({EVERY_DIFFERENCE}) AS differences
     WHERE CAST(:mandate_id AS text) IS NULL OR mandate_id = :mandate_id GROUP BY mandate_id ORDER BY mandate_id
""")


@dataclass(frozen=True, slots=True)
class WrongBalance:
    """An account whose balance is not the sum of the movements on it, `ledger`; both in CHF."""

    mandate_id: str
    account_id: int
    user_id: str | None
    balance: Decimal
    ledger: Decimal


@dataclass(frozen=True, slots=True)
class WrongStatistics:
    """A mandate with this many rows of statistics that are wrong, missing or too many."""

    mandate_id: str
    rows: int


def find_wrong_balances(connection: Connection, mandate_id: str | None) -> list[WrongBalance]:
    """Every account, or those of the mandate, that breaks I3."""
    return [WrongBalance(**row) for row in connection.execute(_BALANCES, {"mandate_id": mandate_id, "since": EVER}).mappings()]


def find_wrong_statistics(connection: Connection, mandate_id: str | None) -> list[WrongStatistics]:
    """Every mandate, or this one, whose statistics break I6."""
    return [WrongStatistics(**row) for row in connection.execute(_STATISTICS, {"mandate_id": mandate_id, "since": EVER}).mappings()]


def ledger_balance(connection: Connection, account: LockedAccount) -> Decimal:
    """The sum of the movements on an account that the caller has locked, in CHF: what its balance has to be.

    An entry on it that names another mandate is left out: it breaks I11, and is no movement of this account.
    """
    if account.is_pool:
        return pool_balance_at(connection, account.mandate_id, account.id, _EVER_AFTER)
    return user_balance_at(connection, account.id, _EVER_AFTER)
