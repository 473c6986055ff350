"""Importing existing books: settings, accounts with their balances, and history, all of it or nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from pydantic import TypeAdapter, ValidationError

from core.asking.request import By
from core.asking.rights import Actor, require_root
from core.config import Configuration
from core.database.database import Database, allow_time
from core.errors import Conflict
from core.importing.accounts import OPENING, move_openings, open_given_accounts
from core.importing.count_in_caps import count_in_caps
from core.importing.files import BookFiles
from core.importing.history import import_history
from core.importing.settings import import_settings
from core.importing.sql.accounts import begin_import, sum_new_openings
from core.importing.sql.entries import sum_written
from core.importing.work import Count, Importing, Problem, Totals
from core.problems import refusal

_ACTOR: TypeAdapter[str] = TypeAdapter(By)


@dataclass(frozen=True, slots=True)
class MandateTotals:
    """One mandate by its files and by the books: its accounts and what they were opened with, its past entries and their sum, in CHF.

    What a debit took off counts as negative. Accounts and entries that the files don't name are not counted.
    """

    mandate_id: str
    accounts: int
    accounts_in_books: int
    balance: Decimal
    balance_in_books: Decimal
    transactions: int
    transactions_in_books: int
    amount: Decimal
    amount_in_books: Decimal
    equal: bool


@dataclass(frozen=True, slots=True)
class ImportedBooks:
    """What an import came to. It is committed if it is `good` and was no dry run; else nothing of it is."""

    settings: Count
    accounts: Count
    transactions: Count
    totals: list[MandateTotals]
    problems: list[Problem]  # the first 100
    problem_count: int

    @property
    def good(self) -> bool:
        """Whether no line is wrong, and the books have what the files have."""
        return not self.problem_count and all(totals.equal for totals in self.totals)


def import_books(
    database: Database,
    actor: Actor,
    files: BookFiles,
    *,
    by: str,
    worker: str,
    config: Configuration,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> ImportedBooks:
    """The books have what the files say, in one transaction: settings, accounts with opening balances, and history that moves nothing.

    Nothing is committed unless every line is right and the totals agree. A replay finds everything there and changes nothing.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        files: what to import; settings and accounts that aren't in them may be in the books already.
        by: who imports, kept with settings and openings.
        worker: the name that the batches of the history carry.
        config: its default time zone is that of settings for which neither file nor directory name one.
        dry_run: does all of it, then takes it back.
        progress: is told how many further bytes were read; `accounts` is read twice.

    Raises:
        Conflict: another import is under way.
        RequestRefused: `by` is no name.
        BadData: a balance would become more than the books can hold.
        StorageUnavailable: it may or may not be committed; repeat it.
        OSError: a file can't be read; nothing is committed.
    """
    require_root(actor, "import books")
    try:
        _ACTOR.validate_python(by)
    except ValidationError as error:
        raise refusal(error, "is not a field of an import") from None
    with database.transaction() as connection:
        begun_at = begin_import(connection)
        if begun_at is None:
            raise Conflict("another import of books is under way: wait for its end")
        imported = _import(Importing(connection, config, by, worker, begun_at, progress), files)
        if dry_run or not imported.good:
            connection.rollback()
    return imported


def _import(work: Importing, files: BookFiles) -> ImportedBooks:
    """In the order of locks: settings, accounts opened, event keys, entries, balances, counters of caps. Nobody else claims keys of openings."""
    if files.settings is not None:
        import_settings(work, files.settings)
    if files.accounts is not None:
        open_given_accounts(work, files.accounts)
    if files.transactions is not None:
        import_history(work, files.transactions)
    if files.accounts is not None:
        move_openings(work, files.accounts)
    if work.batch_ids and not work.problem_count:
        count_in_caps(work)
    totals = []
    if not work.problem_count:
        _read_back(work)
        totals = [_mandate_totals(mandate_id, work.totals[mandate_id]) for mandate_id in sorted(work.totals)]
    return ImportedBooks(work.settings_count, work.account_count, work.transaction_count, totals, work.problems, work.problem_count)


def _read_back(work: Importing) -> None:
    """Counts what the books have of all that this import wrote; what it found there was counted when it was found."""
    allow_time(work.connection)
    for mandate_id, number, amount in sum_new_openings(work.connection, OPENING):
        work.totals[mandate_id].accounts_in_books.add(number, amount)
    for mandate_id, number, amount in sum_written(work.connection, work.batch_ids):
        work.totals[mandate_id].transactions_in_books.add(number, amount)


def _mandate_totals(mandate_id: str, totals: Totals) -> MandateTotals:
    accounts, booked_accounts, transactions, booked = totals.accounts, totals.accounts_in_books, totals.transactions, totals.transactions_in_books
    return MandateTotals(
        mandate_id,
        accounts.number,
        booked_accounts.number,
        accounts.amount,
        booked_accounts.amount,
        transactions.number,
        booked.number,
        transactions.amount,
        booked.amount,
        equal=(accounts, transactions) == (booked_accounts, booked),
    )
