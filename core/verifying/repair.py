"""Repairing the books: what doesn't follow from the ledger is made to, by an operator's word; the ledger stays as it is."""

from dataclasses import dataclass

from core.asking.rights import Actor
from core.database.database import Database
from core.errors import Conflict, RequestRefused
from core.printable import shown
from core.verifying.plan_repairs import plan_repairs
from core.verifying.repair_balance import BalanceRepair, BalanceRepaired, repair_balance
from core.verifying.repair_statistics import StatisticsRepair, StatisticsRepaired, repair_statistics

KEY_MAX = 96  # characters; an account's id is added to it


@dataclass(frozen=True, slots=True)
class Repairs:
    """What was repaired: balances, and statistics by mandate."""

    balances: list[BalanceRepaired]
    statistics: list[StatisticsRepaired]


def repair_books(
    database: Database,
    actor: Actor,
    *,
    key: str,
    reason: str,
    by: str,
    mandate_id: str | None = None,
    account_id: int | None = None,
    by_adjustment: bool = False,
) -> Repairs:
    """Repairs what `plan_repairs` finds, each balance and each mandate's statistics in a transaction of its own.

    A balance becomes the ledger's sum, under `key` and the account's id; `by_adjustment` the balance stays, and the ledger gets an
    ADJUSTMENT of the difference. Statistics are counted anew, under `key`. With `account_id` it is that account's balance alone,
    which an adjustment must name. After an interruption the same call does the rest; of books in order nothing is written.

    Raises:
        NotFound: there is no such mandate.
        RequestRefused: key, reason or by is no such text, a mandate with a wrong balance has no settings, or entries themselves are
            missing or wrong and no account is named: then an operator has to say for each whether ledger or balance is right.
        Conflict: what is wrong now was repaired under this key before: use another one.
        BadData: a ledger's sum is more than a balance can hold.
        StorageUnavailable: what was committed stays; call it again.
    """
    plan = plan_repairs(database, actor, mandate_id, account_id)
    if len(key) > KEY_MAX:
        raise RequestRefused(f"{shown(key)} has more than {KEY_MAX} characters", field="key", value=key)
    if by_adjustment and account_id is None:
        raise RequestRefused("name the account whose balance is right", field="by_adjustment")
    if plan.ledger and account_id is None:
        broken = ", ".join(plan.ledger)
        raise RequestRefused(f"the ledger itself breaks {broken}, see `tollbook verify`: name an account, and say whether its balance is right")
    asked = {"reason": reason, "by": by}
    balances = []
    for wrong in plan.balances:
        account = {"mandate_id": wrong.mandate_id, "account_id": wrong.account_id, "key": f"repair:{key}:{wrong.account_id}"}
        with database.transaction() as connection:
            balances.append(repair_balance(connection, BalanceRepair.read({**asked, **account, "by_adjustment": by_adjustment})))
    statistics = []
    for mandate in plan.statistics:
        with database.transaction() as connection:
            statistics.append(repair_statistics(connection, StatisticsRepair.read({**asked, "mandate_id": mandate.mandate_id, "key": key})))
    again = [b.mandate_id for b in balances if b.repeated] + [s.mandate_id for s in statistics if s.repeated]
    if again:
        raise Conflict(f"{shown(key)} has repaired mandate {shown(again[0])} before, and it is wrong again: use another key", field="key", value=key)
    return Repairs(balances, statistics)
