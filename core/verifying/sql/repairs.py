"""SQL of repairs: what of the books doesn't follow from the ledger and can be made to."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from core.caps.sql.expected import wrong_counters
from core.database.rows import rows
from core.ledger.sql.accounts import LockedAccount
from core.ledger.sql.balance_at import pool_balance_at, user_balance_at
from core.verifying.sql.invariants.balances import WRONG_BALANCES
from core.verifying.sql.invariants.caps import UNCOUNTED
from core.verifying.sql.invariants.holds import WRONG_HELD, WRONG_PAYERS
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

_COUNTERS = text(f"""
    SELECT mandate_id, sum(counters) AS counters
      FROM (SELECT mandate_id, count(*) AS counters FROM ({wrong_counters("true")}) AS wrong GROUP BY mandate_id
            UNION ALL
            SELECT mandate_id, 0 FROM ({UNCOUNTED}) AS uncounted) AS found
     WHERE CAST(:mandate_id AS text) IS NULL OR mandate_id = :mandate_id GROUP BY mandate_id ORDER BY mandate_id
""")

_HELD = text(f"""
    SELECT mandate_id, count(*) AS accounts
      FROM (SELECT mandate_id FROM ({WRONG_HELD}) AS wrong UNION ALL SELECT mandate_id FROM ({WRONG_PAYERS}) AS others) AS found
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


@dataclass(frozen=True, slots=True)
class WrongCounters:
    """A mandate with this many counters of caps that are wrong or missing; 0: nobody counts, since its settings say that it has no caps."""

    mandate_id: str
    counters: int


@dataclass(frozen=True, slots=True)
class WrongHeld:
    """A mandate with this many accounts of which a wrong amount is held, and open holds that are held of a wrong account."""

    mandate_id: str
    accounts: int


def find_wrong_balances(connection: Connection, mandate_id: str | None) -> list[WrongBalance]:
    """Every account, or those of the mandate, that breaks I3."""
    return [WrongBalance(**row) for row in connection.execute(_BALANCES, {"mandate_id": mandate_id, "since": EVER}).mappings()]


def find_wrong_statistics(connection: Connection, mandate_id: str | None) -> list[WrongStatistics]:
    """Every mandate, or this one, whose statistics break I6."""
    return [WrongStatistics(**row) for row in connection.execute(_STATISTICS, {"mandate_id": mandate_id, "since": EVER}).mappings()]


def find_wrong_counters(connection: Connection, mandate_id: str | None) -> list[WrongCounters]:
    """Every mandate, or this one, whose caps break K1."""
    return rows(connection, WrongCounters, _COUNTERS, mandate_id=mandate_id)


def find_wrong_held(connection: Connection, mandate_id: str | None) -> list[WrongHeld]:
    """Every mandate, or this one, whose accounts break H1."""
    return rows(connection, WrongHeld, _HELD, mandate_id=mandate_id)


def ledger_balance(connection: Connection, account: LockedAccount) -> Decimal:
    """The sum of the movements on an account that the caller has locked, in CHF: what its balance has to be.

    An entry on it that names another mandate is left out: it breaks I11, and is no movement of this account.
    """
    if account.is_pool:
        return pool_balance_at(connection, account.mandate_id, account.id, _EVER_AFTER)
    return user_balance_at(connection, account.id, _EVER_AFTER)
