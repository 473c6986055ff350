"""What the steps of one recording transaction share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Connection

from core.config import Configuration
from core.storage.accounts import Holder
from core.storage.batches import Batch, BatchKind

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


@dataclass(frozen=True, slots=True)
class Work:
    """One recording transaction: where it writes, under which rules, and on which batch's account."""

    connection: Connection
    config: Configuration
    batch: Batch
    known_accounts: KnownAccounts
    kind: BatchKind = BatchKind.USAGE

    @property
    def batch_id(self) -> int:
        """See `Opening`."""
        return self.batch.id


@dataclass(slots=True)
class Settled:
    """What a settled part of a batch has written, valid once its transaction commits."""

    transaction_ids: list[int] = field(default_factory=list)
    accounts: dict[Holder, int] = field(default_factory=dict)
    unknown_users: int = 0
    without_room: dict[str, int] = field(default_factory=dict)  # by reason, the dead letters that only were counted

    def add(self, others: Iterable["Settled"]) -> "Settled":
        """This part and further ones together."""
        for other in others:
            self.transaction_ids += other.transaction_ids
            self.accounts |= other.accounts
            self.unknown_users += other.unknown_users
        return self
