"""Whose accounts a batch is about: found, or opened with the grant that is due."""

from dataclasses import dataclass

from core.billing import BillingModel
from core.events.model import UsageEvent
from core.ledger.grant import make_first_grants
from core.ledger.opening import Opening
from core.ledger.sql.accounts import Holder, NewAccount, find_pools, find_user_accounts, open_accounts
from core.settings.model import BillingSettings


@dataclass(frozen=True, slots=True)
class Holders:
    """Account ids by holder, the users whom the directory doesn't know, the ids worth remembering, and the accounts that weren't there."""

    accounts: dict[Holder, int]
    unknown: set[Holder]
    learned: dict[Holder, int]
    opened: dict[Holder, int]


def open_holders(work: Opening, events: list[UsageEvent], settings: dict[str, BillingSettings]) -> Holders:
    """Every event's user account, and the pool where it pays, exists afterwards; race-free, at most one grant each.

    Args:
        work: the transaction.
        events: what is to be recorded.
        settings: of every mandate among them.
    """
    return open_accounts_of(work, {(e.mandate_id, e.user_id) for e in events}, settings)


def open_accounts_of(work: Opening, users: set[Holder], settings: dict[str, BillingSettings]) -> Holders:
    """As `open_holders`, for users (mandate id, user id) of whom nothing is recorded yet."""
    wanted = users | {(m, None) for m in {mandate_id for mandate_id, _ in users} if settings[m].billing_model.pool_pays}
    found: dict[Holder, int] = {}
    unmet: list[Holder] = []
    for holder in wanted:
        account_id = work.known_accounts.get(holder)
        if account_id is None:
            unmet.append(holder)
        else:
            found[holder] = account_id
    if not unmet:
        return Holders(found, set(), {}, {})
    existing, strangers = _find(work, unmet)
    absent = [holder for holder in unmet if holder not in existing]
    opened: dict[Holder, int] = {}
    if absent:
        opened = open_accounts(work.connection, [_new(holder, settings[holder[0]], holder in strangers) for holder in absent])
        granted = {i: own for holder, i in opened.items() if _gets_grant(holder, own := settings[holder[0]], strangers)}
        make_first_grants(work.connection, granted, work.batch_id)
        existing |= opened
        if len(opened) < len(absent):  # somebody else opened them meanwhile, and made their grants
            existing |= _find(work, [holder for holder in absent if holder not in opened])[0]
    learned = {holder: account_id for holder, account_id in existing.items() if holder not in strangers}
    return Holders(found | existing, strangers, learned, opened)


def _find(work: Opening, holders: list[Holder]) -> tuple[dict[Holder, int], set[Holder]]:
    users = [holder for holder in holders if holder[1] is not None]
    pools = [mandate_id for mandate_id, user_id in holders if user_id is None]
    accounts = find_user_accounts(work.connection, users) if users else {}
    found = {holder: account_id for holder, (account_id, _) in accounts.items() if account_id is not None}
    if pools:
        found |= find_pools(work.connection, pools)
    everybody_known = work.config.unknown_mandates == "create"
    return found, set() if everybody_known else {holder for holder, (_, known) in accounts.items() if not known}


def _new(holder: Holder, settings: BillingSettings, stranger: bool) -> NewAccount:
    model = settings.billing_model
    grant_due = holder[1] is not None and (model is BillingModel.UNLIMITED or (model is BillingModel.PREPAY_USER and stranger))
    return NewAccount(holder, grant_due, settings.version)


def _gets_grant(holder: Holder, settings: BillingSettings, strangers: set[Holder]) -> bool:
    """Whether the account, just opened, is one of a known member under PREPAY_USER."""
    return holder[1] is not None and settings.billing_model is BillingModel.PREPAY_USER and holder not in strangers
