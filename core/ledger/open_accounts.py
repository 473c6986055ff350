"""Whose accounts a batch is about: found, or opened with the grant that is due."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.billing import BillingModel, warning_threshold
from core.events.model import UsageEvent
from core.ledger.opening import Opening
from core.ledger.sql.accounts import Holder, find_pools, find_user_accounts
from core.ledger.sql.openings import NewAccount, open_accounts
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
        new = [_new(holder, settings[holder[0]], stranger=holder in strangers) for holder in absent]
        opened = open_accounts(work.connection, new, work.batch_id)
        existing |= opened
        if len(opened) < len(absent):  # somebody else opened them meanwhile, and made their grants
            existing |= _find(work, [holder for holder in absent if holder not in opened])[0]
    learned = {holder: account_id for holder, account_id in existing.items() if holder not in strangers}
    return Holders(found | existing, strangers, learned, opened)


def open_members(work: Opening, members: Sequence[Holder], settings: Mapping[str, BillingSettings]) -> dict[Holder, int]:
    """Opens the accounts of these members, and the pools that pay for them, but for those that somebody has opened; returns them.

    Race-free, at most one grant each.

    Args:
        work: the transaction.
        members: enabled memberships (mandate id, user id), seen in this transaction.
        settings: of every mandate among them.
    """
    pooled = {mandate_id for mandate_id, _ in members if settings[mandate_id].billing_model.pool_pays}
    pools = [(mandate_id, None) for mandate_id in pooled]
    if pools:
        there = find_pools(work.connection, pooled)
        pools = [holder for holder in pools if holder not in there]
    new = [_new(holder, settings[holder[0]], stranger=False) for holder in (*pools, *members)]
    return open_accounts(work.connection, new, work.batch_id) if new else {}


def _find(work: Opening, holders: list[Holder]) -> tuple[dict[Holder, int], set[Holder]]:
    users = [holder for holder in holders if holder[1] is not None]
    pools = [mandate_id for mandate_id, user_id in holders if user_id is None]
    accounts = find_user_accounts(work.connection, users) if users else {}
    found = {holder: account_id for holder, (account_id, _) in accounts.items() if account_id is not None}
    if pools:
        found |= find_pools(work.connection, pools)
    everybody_known = work.config.unknown_mandates == "create"
    return found, set() if everybody_known else {holder for holder, (_, known) in accounts.items() if not known}


def _new(holder: Holder, settings: BillingSettings, *, stranger: bool) -> NewAccount:
    """The account as it is opened: under PREPAY_USER a known member's begins with the grant, a stranger's waits for it."""
    model, credit = settings.billing_model, settings.default_user_credit
    if holder[1] is None or model.pool_pays:
        return NewAccount(holder, settings.version)
    if stranger or model is BillingModel.UNLIMITED:
        return NewAccount(holder, settings.version, grant_due=True)
    return NewAccount(holder, settings.version, grant=credit, warning_threshold=warning_threshold(settings.warning_threshold_percent, credit))
