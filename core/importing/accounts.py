"""The accounts of an import: opened before the history is written, and given their opening balances after it."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from core.asking.sql import Operation
from core.billing import warning_threshold
from core.errors import RequestRefused
from core.importing.files import BookFile
from core.importing.model import OldAccount
from core.importing.sql.accounts import TakenOver, find_holders, replace_grants, standing_of, take_over_accounts
from core.importing.sql.entries import Claimed, claim_operations, find_entries
from core.importing.work import Importing
from core.ledger.crossed import alerts_between
from core.ledger.entry import Entry
from core.ledger.kinds import ADJUSTMENT
from core.ledger.post import balance_after, post
from core.ledger.sql.accounts import Holder, LockedAccount, lock_accounts
from core.ledger.sql.alerts import BalanceAlert
from core.ledger.sql.openings import Terms, open_accounts
from core.ledger.sql.transactions import next_transaction_ids
from core.money import ZERO
from core.printable import shown
from core.record_files import Fields
from core.settings.model import BillingSettings

OPENING = "opening"


def open_given_accounts(work: Importing, file: BookFile) -> None:
    """Every account of the file exists afterwards; those that didn't have neither grant nor balance yet."""
    for chunk in work.chunks(file):
        read = list(_read(work, file, chunk))
        settings = work.settings_of(account.mandate_id for _, account in read)
        terms: dict[Holder, Terms] = {}
        for line, account in read:
            if account.mandate_id in settings:
                terms[account.holder] = Terms(settings[account.mandate_id].version)
            else:
                work.wrong(file, line, f"mandate_id: {shown(account.mandate_id)} has billing settings neither in the files nor in the books")
        if terms:
            open_accounts(work.connection, terms)


def move_openings(work: Importing, file: BookFile) -> None:
    """The accounts of the file have the balances that they are opened with, once and for ever.

    A line is wrong whose account was opened so before, with other content. Lines that `open_given_accounts` found wrong are left out.
    """
    for chunk in work.chunks(file, noted=True):
        read = [(line, account) for line, account in _read(work, file, chunk, noted=True) if account.mandate_id in work.settings_of(())]
        accounts: dict[Holder, tuple[int, OldAccount]] = {}
        for line, account in read:
            if accounts.setdefault(account.holder, (line, account))[0] != line:
                work.wrong(file, line, _twice(account))
        if accounts:
            _open(work, file, accounts, find_holders(work.connection, accounts))


@dataclass(frozen=True, slots=True)
class _Opening:
    """An account, what it is opened with, in which line, and the key under which that is done."""

    account_id: int
    line: int
    old: OldAccount
    claim: Claimed


def _read(work: Importing, file: BookFile, chunk: list[tuple[int, Fields]], *, noted: bool = False) -> Iterator[tuple[int, OldAccount]]:
    for line, fields in chunk:
        try:
            yield line, OldAccount.read(fields)
        except RequestRefused as refused:
            if not noted:
                work.wrong(file, line, str(refused))


def _twice(account: OldAccount) -> str:
    return f"{_named(account)} stands in an earlier line"


def _named(account: OldAccount) -> str:
    return f"user_id: account of {shown(account.user_id)}" if account.user_id is not None else f"mandate_id: pool of {shown(account.mandate_id)}"


def _open(work: Importing, file: BookFile, accounts: dict[Holder, tuple[int, OldAccount]], ids: dict[Holder, int]) -> None:
    operations = {holder: Operation(a.mandate_id, OPENING, a.key, a.content()) for holder, (_, a) in accounts.items()}
    claimed = claim_operations(work.connection, list(operations.values()), next_transaction_ids(work.connection, len(operations)))
    new, earlier = [], []
    for holder, (line, account) in accounts.items():
        claim = claimed[account.mandate_id, account.key]
        opening = _Opening(ids[holder], line, account, claim)
        if claim.is_new:
            new.append(opening)
        elif claim.recorded_at == work.begun_at:
            work.wrong(file, line, _twice(account))
        elif claim.content_hash != operations[holder].content_hash:
            work.wrong(
                file, line, f"{_named(account)} was imported on {claim.recorded_at:%Y-%m-%d}, and not as this line says: {account.balance} CHF"
            )
        else:
            earlier.append(opening)
        work.totals[account.mandate_id].accounts.add(1, account.balance)
    if new:
        _move(work, file, new)
    if earlier:
        _find_again(work, earlier)
    work.account_count.given += len(accounts)
    work.account_count.new += len(new)


def _find_again(work: Importing, openings: list[_Opening]) -> None:
    """Counts what the books have of openings that were made before this import."""
    found = find_entries(work.connection, [(o.claim.transaction_id, o.claim.recorded_at) for o in openings])
    standing = standing_of(work.connection, [o.account_id for o in openings])
    for opening in openings:
        entry = found.get(opening.claim.transaction_id)
        amount = standing[opening.account_id].granted + (entry.amount if entry is not None else ZERO)
        work.totals[opening.old.mandate_id].accounts_in_books.add(1, amount)


def _move(work: Importing, file: BookFile, openings: list[_Opening]) -> None:
    """The opening entries, the balances and thresholds that follow, and an alert for each line that an account begins beyond.

    What an account that was there before got as its grant is part of what it is opened with.
    """
    settings = work.settings_of(opening.old.mandate_id for opening in openings)
    ids = [opening.account_id for opening in openings]
    replace_grants(work.connection, ids)
    locked = {account.id: account for account in lock_accounts(work.connection, ids)}
    standing = standing_of(work.connection, ids)
    entries: list[Entry] = []
    taken_over: dict[int, LockedAccount] = {}
    rules: list[TakenOver] = []
    for opening in openings:
        before, own, was = locked[opening.account_id], settings[opening.old.mandate_id], standing[opening.account_id]
        amount = opening.old.balance - was.granted
        work.totals[opening.old.mandate_id].accounts_in_books.add(0, was.granted)
        try:
            balance = balance_after(before.id, before.balance, amount)
        except RequestRefused as refused:
            work.wrong(file, opening.line, f"balance: {refused.reason}")
            continue
        taken_over[before.id] = _after(before, opening.old, balance, own)
        rules.append(TakenOver(before.id, taken_over[before.id].warning_threshold, opening.old.credit_limit, opening.old.enabled))
        if amount:
            entries.append(_entry(work, opening, amount, own))

    def told(before: LockedAccount, _: LockedAccount) -> list[BalanceAlert]:
        """Where a new account begins it has not come back to."""
        alerts = alerts_between(before, taken_over[before.id], settings[before.mandate_id])
        return [alert for alert in alerts if not (standing[before.id].is_new and alert.crossing.recovered)]

    post(work.connection, entries, {i: locked[i] for i in taken_over}, told=told)
    take_over_accounts(work.connection, rules)


def _after(before: LockedAccount, old: OldAccount, balance: Decimal, settings: BillingSettings) -> LockedAccount:
    threshold = warning_threshold(settings.warning_threshold_percent, balance) if old.warning_threshold is None else old.warning_threshold
    limit = before.credit_limit if old.credit_limit is None else old.credit_limit
    return before._replace(balance=balance, warning_threshold=threshold, credit_limit=limit)


def _entry(work: Importing, opening: _Opening, amount: Decimal, settings: BillingSettings) -> Entry:
    i, key = opening.account_id, opening.old.key
    return Entry(settings, ADJUSTMENT, i, i, amount, "Opening balance", work.by, key, id=opening.claim.transaction_id)
