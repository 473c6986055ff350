"""What opening settings and accounts takes, whoever does it: recording, a check, a backfill, an operator."""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from core.config import Configuration
from core.ledger.sql.accounts import Holder

_ACCOUNTS_MAX = 100_000


class KnownAccounts:
    """Ids of accounts met before, bounded; they never change while the database lives. Safe to share by threads."""

    def __init__(self) -> None:
        self._ids: dict[Holder, int] = {}

    def get(self, holder: Holder) -> int | None:
        """The account's id, if it was met before."""
        return self._ids.get(holder)

    def forget(self) -> None:
        """Knows nothing again: the database is not the one that these ids were met in."""
        self._ids = {}

    def add(self, ids: dict[Holder, int]) -> None:
        """Remembers accounts that a committed transaction has seen."""
        if len(self._ids) + len(ids) > _ACCOUNTS_MAX:
            self._ids = {}
        self._ids.update(ids)


class Opening(Protocol):
    """What opening settings and accounts takes, whoever does it."""

    @property
    def connection(self) -> Connection:
        """The transaction."""

    @property
    def config(self) -> Configuration:
        """Under which rules."""

    @property
    def known_accounts(self) -> KnownAccounts:
        """The accounts that needn't be looked for."""

    @property
    def batch_id(self) -> int | None:
        """The batch that grants are written down for; none outside of recording."""


@dataclass(frozen=True, slots=True)
class OpeningAlone:
    """Opening outside of recording: what it opens belongs to no batch."""

    connection: Connection
    config: Configuration
    known_accounts: KnownAccounts
    batch_id: None = None
