"""Whose accounts a batch is about: found, or opened with the grant that is due."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.billing import BillingModel, warning_threshold
from core.events.model import UsageEvent
from core.ledger.opening import Opening
from core.ledger.sql.accounts import Holder, find_pools, find_user_accounts
from core.ledger.sql.openings import Terms, open_accounts
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
        opened = open_accounts(work.connection, _terms(absent, settings, strangers), work.batch_id)
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
    mandate_ids = {mandate_id for mandate_id, _ in members}
    new: list[Holder] = [(mandate_id, None) for mandate_id in mandate_ids if settings[mandate_id].billing_model.pool_pays]
    if new:
        there = find_pools(work.connection, mandate_ids)
        new = [pool for pool in new if pool not in there]
    new += members
    return open_accounts(work.connection, _terms(new, settings), work.batch_id) if new else {}


def _find(work: Opening, holders: list[Holder]) -> tuple[dict[Holder, int], set[Holder]]:
    users = [holder for holder in holders if holder[1] is not None]
    pools = [mandate_id for mandate_id, user_id in holders if user_id is None]
    accounts = find_user_accounts(work.connection, users) if users else {}
    found = {holder: account_id for holder, (account_id, _) in accounts.items() if account_id is not None}
    if pools:
        found |= find_pools(work.connection, pools)
    everybody_known = work.config.unknown_mandates == "create"
    return found, set() if everybody_known else {holder for holder, (_, known) in accounts.items() if not known}


def _terms(holders: Iterable[Holder], settings: Mapping[str, BillingSettings], strangers: Collection[Holder] = ()) -> dict[Holder, Terms]:
    """How the account of each holder is opened; made once for all that are alike."""
    made: dict[tuple[str, bool, bool], Terms] = {}
    terms = {}
    for holder in holders:
        kind = holder[0], holder[1] is None, holder in strangers
        if kind not in made:
            made[kind] = _terms_of(settings[holder[0]], pool=kind[1], stranger=kind[2])
        terms[holder] = made[kind]
    return terms


def _terms_of(settings: BillingSettings, *, pool: bool, stranger: bool) -> Terms:
    """Under PREPAY_USER a known member's account begins with the grant, a stranger's waits for it, as everybody's does under UNLIMITED."""
    model, credit = settings.billing_model, settings.default_user_credit
    if pool or model.pool_pays:
        return Terms(settings.version)
    if stranger or model is BillingModel.UNLIMITED:
        return Terms(settings.version, grant_due=True)
    return Terms(settings.version, grant=credit, warning_threshold=warning_threshold(settings.warning_threshold_percent, credit))
