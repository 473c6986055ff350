"""Whose accounts a batch is about: found, or opened with the grant that is due."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.billing import BillingModel
from core.ledger.grant import begun
from core.ledger.opening import Opening
from core.ledger.sql.accounts import Holder, find_pools, find_user_accounts
from core.ledger.sql.openings import Terms, open_accounts
from core.settings.model import BillingSettings


@dataclass(frozen=True, slots=True)
class Found:
    """The accounts that there are of those `looked_for`, and among these the ids worth remembering; and the users whom the directory doesn't know."""

    looked_for: set[Holder]
    accounts: dict[Holder, int]
    unknown: set[Holder]
    learned: dict[Holder, int]

    def __or__(self, more: "Found") -> "Found":
        return Found(self.looked_for | more.looked_for, self.accounts | more.accounts, self.unknown | more.unknown, self.learned | more.learned)


@dataclass(frozen=True, slots=True)
class Holders:
    """Account ids by holder, the users whom the directory doesn't know, the ids worth remembering, and the accounts that weren't there."""

    accounts: dict[Holder, int]
    unknown: set[Holder]
    learned: dict[Holder, int]
    opened: dict[Holder, int]


def find_accounts_of(work: Opening, users: set[Holder], settings: Mapping[str, BillingSettings]) -> Found:
    """The accounts of these users (mandate id, user id) and of the pools that pay for them, without a lock; nothing is opened.

    Args:
        work: the transaction.
        users: whose.
        settings: of every mandate among them.
    """
    wanted = _wanted(users, settings)
    known = work.known_accounts.find(wanted)
    if len(known) == len(wanted):
        return Found(wanted, known, set(), {})
    existing, strangers = _find(work, sorted(wanted - known.keys(), key=_in_order))
    return Found(wanted, known | existing, strangers, {holder: i for holder, i in existing.items() if holder not in strangers})


def open_accounts_of(work: Opening, users: set[Holder], settings: dict[str, BillingSettings], found: Found | None = None) -> Holders:
    """Every user has an account, and so has the pool where it pays, afterwards; race-free, at most one grant each.

    Args:
        work: the transaction.
        users: mandate id and user id of each.
        settings: of every mandate among them.
        found: what was looked for already.
    """
    if found is None:
        found = find_accounts_of(work, users, settings)
    elif not users <= found.looked_for:
        found |= find_accounts_of(work, users - found.looked_for, settings)
    absent = []
    if len(found.accounts) < len(found.looked_for):
        absent = [holder for holder in _wanted(users, settings) if holder not in found.accounts]
    if not absent:
        return Holders(found.accounts, found.unknown, found.learned, {})
    opened = open_accounts(work.connection, _terms(absent, settings, found.unknown), work.batch_id)
    present = opened
    if len(opened) < len(absent):  # somebody else opened them meanwhile, and made their grants
        present = opened | _find(work, [holder for holder in absent if holder not in opened])[0]
    learned = {holder: account_id for holder, account_id in present.items() if holder not in found.unknown}
    return Holders(found.accounts | present, found.unknown, found.learned | learned, opened)


def _wanted(users: set[Holder], settings: Mapping[str, BillingSettings]) -> set[Holder]:
    return users | {(m, None) for m in {mandate_id for mandate_id, _ in users} if settings[m].billing_model.pool_pays}


def _in_order(holder: Holder) -> tuple[str, str]:
    return holder[0], holder[1] or ""


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
    model = settings.billing_model
    if pool or model.pool_pays:
        return Terms(settings.version)
    if stranger or model is BillingModel.UNLIMITED:
        return Terms(settings.version, grant_due=True)
    account = begun(settings)
    return Terms(settings.version, grant=account.balance, warning_threshold=account.warning_threshold)
