"""Opening an account before its first use: a user's in a mandate, or the mandate's pool."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.asking.request import Question
from core.config import Configuration
from core.errors import NotFound, RequestRefused
from core.events.contract import Id
from core.ledger.meet_mandates import meet, settings_of
from core.ledger.open_accounts import open_accounts_of
from core.ledger.opening import KnownAccounts, OpeningAlone
from core.ledger.sql.accounts import find_pools
from core.ledger.sql.openings import Terms, open_accounts
from core.ledger.sql.shown_accounts import find_account_of
from core.movements.movement import movement
from core.printable import shown
from core.settings.model import BillingSettings

_WHY = {"disabled_mandate": "has it disabled", "unknown_mandate": "does not know it"}


class AccountOpening(Question):
    """Whose account is to be there: the user's, or without one the mandate's pool."""

    user_id: Id | None = None


@dataclass(frozen=True, slots=True)
class OpenedAccount:
    """An account that is there now, and whether it was before; amounts in CHF."""

    mandate_id: str
    user_id: str | None
    account_id: int
    balance: Decimal
    grant_due: bool
    enabled: bool
    opened_at: datetime
    existed: bool


@movement("movement.open_account", "open an account")
def open_account(connection: Connection, asked: AccountOpening, *, config: Configuration) -> OpenedAccount:
    """Opens the account if it isn't there, as a first usage would: with the mandate's default settings, the grant and the pool that pays.

    A known, enabled member gets the grant under PREPAY_USER; of others, and under UNLIMITED, it stays due. Of any number of callers
    at once, and of usage meanwhile, one opens it. A replay finds it and changes nothing.

    Raises:
        NotFound: the mandate may have no settings, since the directory doesn't know it or has it disabled.
        RequestRefused: a pool is asked for that isn't there, and the mandate's model has none.
    """
    mandate_id, user_id = asked.mandate_id, asked.user_id
    opening = OpeningAlone(connection, config, KnownAccounts())
    mandates = meet(opening, [mandate_id])
    if mandates.unknown:
        why = _WHY[mandates.unknown[mandate_id]]
        raise NotFound(f"mandate {shown(mandate_id)} has no billing settings, and the directory {why}", field="mandate_id", value=mandate_id)
    settings = settings_of(opening, mandates, [mandate_id])
    if user_id is None:
        existed = not opened_pool(connection, settings[mandate_id])[1]
    else:
        existed = (mandate_id, user_id) not in open_accounts_of(opening, {(mandate_id, user_id)}, settings).opened
    found = find_account_of(connection, mandate_id, user_id)
    assert found is not None, "an account just opened is there"
    return OpenedAccount(mandate_id, user_id, found.id, found.balance, found.grant_due, found.enabled, found.opened_at, existed)


def opened_pool(connection: Connection, settings: BillingSettings) -> tuple[int, bool]:
    """The id of the mandate's pool, and whether it was opened now; the settings can't change before the transaction ends.

    Raises:
        RequestRefused: it isn't there, and the model has none.
    """
    holder = (settings.mandate_id, None)
    found = find_pools(connection, [settings.mandate_id])
    if found:
        return found[holder], False
    if not settings.billing_model.pool_pays:
        model = settings.billing_model
        raise RequestRefused(
            f"mandate {shown(settings.mandate_id)} is {model}, under which there is no pool: name a user's account",
            field="mandate_id",
            value=settings.mandate_id,
        )
    opened = open_accounts(connection, {holder: Terms(settings.version)})
    if opened:
        return opened[holder], True
    return find_pools(connection, [settings.mandate_id])[holder], False  # somebody else opened it meanwhile
