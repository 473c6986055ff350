"""Backfilling accounts: whoever is a member of a billed mandate has one, grants that are due are made, and pools are there."""

from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from core.billing import BillingModel
from core.clock import utc_now
from core.config import Configuration
from core.database.database import Database, plan_each_time
from core.database.locks import share_mandates
from core.directory.sql.missing import DueGrant, mandates_without_pool, page_of_due_grants, page_of_members
from core.errors import RequestRefused
from core.jobs.model import moment_at, period_at
from core.jobs.run_job import run_job
from core.ledger.grant import make_due_grants
from core.ledger.open_accounts import open_members
from core.ledger.opening import KnownAccounts, OpeningAlone
from core.ledger.sql.accounts import Holder
from core.ledger.sql.openings import Terms, open_accounts
from core.recording.release_parked import release_all_parked
from core.settings.model import BillingSettings
from core.settings.sql.settings import load_settings

JOB = "accounts.backfill"
PERIOD_SECONDS = 3600
MEMBERS_ROWS = 5_000  # accounts that are opened at once; nobody waits for them
PAGE_ROWS = 2_000  # balances that nobody else can move meanwhile
Row = TypeVar("Row")
Refused = Callable[[RequestRefused], None]


def backfill_accounts(
    database: Database,
    *,
    config: Configuration,
    worker: str,
    at_once: bool = False,
    clock: Callable[[], datetime] = utc_now,
    refused: Refused = lambda _: None,
) -> dict[str, int] | None:
    """Opens what accounts are missing, makes grants that are due, and then records parked events of mandates known by now.

    Each enabled membership of a mandate that isn't UNLIMITED gets its account, with the grant under PREPAY_USER; each mandate
    whose pool pays gets its pool. In transactions of up to 5,000 accounts, each race-free against usage, checks, switches and
    other backfills. Once per hour (UTC), or `at_once`. A replay makes nothing anew. A grant that the books can't hold is refused
    alone, each time anew: `refused` is told of it.

    Returns:
        The numbers made, `accounts`, `pools`, `grants_due` and `parked_released`, and `grants_refused` where some were; none where it
        is done already or somebody else is at it.

    Raises:
        StorageUnavailable, Misconfigured: it is still to be done; what was committed stays.
    """

    def due(_: Connection) -> str:
        return moment_at(clock()) if at_once else period_at(clock(), PERIOD_SECONDS)

    return run_job(database, JOB, lambda _: _backfilled(database, config, worker, refused), worker=worker, due=due)


def _backfilled(database: Database, config: Configuration, worker: str, refused: Refused) -> dict[str, int]:
    def due(connection: Connection, last: DueGrant | None) -> list[DueGrant]:
        return page_of_due_grants(connection, last, PAGE_ROWS, everybody_known=config.unknown_mandates == "create")

    def grant(connection: Connection, page: list[DueGrant]) -> Counter[str]:
        made, refusals = make_due_grants(connection, page, _held_settings(connection, {due.mandate_id for due in page}))
        for refusal in refusals:
            refused(refusal)
        return Counter({"grants_due": made, "grants_refused": len(refusals)} if refusals else {"grants_due": made})

    counts = Counter(accounts=0, pools=0, grants_due=0)
    counts.update(_open_all_members(database, config))
    counts.update(_each_page(database, lambda connection, last: mandates_without_pool(connection, last, PAGE_ROWS), _open_pools))
    counts.update(_each_page(database, due, grant))
    released = len(release_all_parked(database, config=config, worker=worker).outcomes)
    return {**counts, "parked_released": released}


def _open_all_members(database: Database, config: Configuration) -> Counter[str]:
    """Opens the accounts that members lack, and the pools that go with them, page by page."""
    counts: Counter[str] = Counter()
    after: tuple[str, str] | None = None
    while True:
        with database.transaction() as connection:
            plan_each_time(connection)
            page = page_of_members(connection, after, MEMBERS_ROWS)
            opened = _open_members(OpeningAlone(connection, config, KnownAccounts()), page.missing) if page.missing else []
        counts.update("pools" if user_id is None else "accounts" for _, user_id in opened)
        if page.is_last:
            return counts
        after = page.last


def _open_members(opening: OpeningAlone, members: list[tuple[str, str]]) -> Collection[Holder]:
    """The accounts that were opened of those members whose mandate is still billed, once its settings can't change."""
    settings = _held_settings(opening.connection, {mandate_id for mandate_id, _ in members})
    billed = {mandate_id for mandate_id, found in settings.items() if found.billing_model is not BillingModel.UNLIMITED}
    return open_members(opening, [member for member in members if member[0] in billed], settings)


def _each_page(
    database: Database, read: Callable[[Connection, Row | None], list[Row]], handle: Callable[[Connection, list[Row]], Counter[str]]
) -> Counter[str]:
    """Reads and handles page after page, each in a transaction of its own; what was counted altogether."""
    counts: Counter[str] = Counter()
    last: Row | None = None
    while True:
        with database.transaction() as connection:
            plan_each_time(connection)
            page = read(connection, last)
            made = handle(connection, page) if page else Counter[str]()
        counts.update(made)
        if len(page) < PAGE_ROWS:
            return counts
        last = page[-1]


def _open_pools(connection: Connection, mandate_ids: list[str]) -> Counter[str]:
    """Opens the pools that no member's account has brought along."""
    settings = _held_settings(connection, set(mandate_ids))
    new: dict[Holder, Terms] = {(m, None): Terms(own.version) for m, own in settings.items() if own.billing_model.pool_pays}
    return Counter(pools=len(open_accounts(connection, new)))


def _held_settings(connection: Connection, mandate_ids: set[str]) -> dict[str, BillingSettings]:
    """The settings of these mandates, which can't change before the transaction ends."""
    share_mandates(connection, mandate_ids)
    return load_settings(connection, mandate_ids)[0]
