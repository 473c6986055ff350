"""What the steps of one import share: the transaction, what was wrong, what was counted."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice

from sqlalchemy import Connection

from core.config import Configuration
from core.database.locks import share_mandates
from core.errors import RequestRefused
from core.importing.files import BookFile
from core.money import ZERO
from core.record_files import Fields
from core.settings.model import BillingSettings
from core.settings.sql.settings import load_settings

CHUNK_LINES = 5_000
PROBLEMS_KEPT_MAX = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line: the fields and their values, in plain ASCII."""

    file: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}"


@dataclass(slots=True)
class Sum:
    """So many things that come to so many CHF."""

    number: int = 0
    amount: Decimal = ZERO

    def add(self, number: int, amount: Decimal) -> None:
        """Counts some more."""
        self.number += number
        self.amount += amount


@dataclass(slots=True)
class Totals:
    """One mandate by its files and by the books: opening balances, and past entries (what a debit took off is negative)."""

    accounts: Sum = field(default_factory=Sum)
    accounts_in_books: Sum = field(default_factory=Sum)
    transactions: Sum = field(default_factory=Sum)
    transactions_in_books: Sum = field(default_factory=Sum)


@dataclass(slots=True)
class Count:
    """Records of one kind: in the file, and those among them that the books didn't have."""

    given: int = 0
    new: int = 0


@dataclass(slots=True)
class Importing:
    """One import under way."""

    connection: Connection
    config: Configuration
    by: str
    worker: str
    begun_at: datetime
    progress: Callable[[int], None]  # is told how many further bytes are done
    settings_count: Count = field(default_factory=Count)
    account_count: Count = field(default_factory=Count)
    transaction_count: Count = field(default_factory=Count)
    totals: dict[str, Totals] = field(default_factory=lambda: defaultdict(Totals))
    batch_ids: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    _settings: dict[str, BillingSettings] = field(default_factory=dict)

    def wrong(self, file: BookFile, line: int, problem: str) -> None:
        """Notes what is wrong with a line; then nothing of the import is committed."""
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_KEPT_MAX:
            self.problems.append(Problem(file.name, line, problem))

    def chunks(self, file: BookFile, *, noted: bool = False) -> Iterator[list[tuple[int, Fields]]]:
        """The records of the file with their line numbers, up to 5,000 at a time.

        Lines that are none are noted as wrong, unless they were `noted` when the file was read before.
        """
        records = self._records(file, noted=noted)
        while chunk := list(islice(records, CHUNK_LINES)):
            yield chunk

    def settings_of(self, mandate_ids: Iterable[str]) -> dict[str, BillingSettings]:
        """The settings of every mandate met so far, these among them, that has some; none can change before the import ends."""
        unmet = sorted(set(mandate_ids) - self._settings.keys())
        if unmet:
            share_mandates(self.connection, unmet)
            self._settings |= load_settings(self.connection, unmet)[0]
        return self._settings

    def _records(self, file: BookFile, *, noted: bool) -> Iterator[tuple[int, Fields]]:
        told = position = 0
        try:
            for number, line in enumerate(file.lines()):
                position = line.position
                if number % CHUNK_LINES == 0:
                    self.progress(position - told)
                    told = position
                if line.fields is not None:
                    yield line.number, line.fields
                elif not noted:
                    self.wrong(file, line.number, line.problem)
            self.progress(position - told)
        except RequestRefused as refused:  # its header
            if not noted:
                self.wrong(file, 1, str(refused))
