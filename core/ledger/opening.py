"""What opening settings and accounts takes, whoever does it: recording, a check, a backfill, an operator."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

from core.config import Configuration
from core.ledger.account_ids import AccountIds
from core.ledger.sql.accounts import Holder
from core.settings.sql.settings import KeptSettings

_MANDATES_MAX = 20_000


class KnownAccounts:
    """What this process has met, in bounded memory. Safe to share by threads.

    The ids of accounts never change while the database lives; the settings of a mandate are asked for anew each time, and read where they
    have changed.
    """

    def __init__(self) -> None:
        self._ids = AccountIds()
        self.settings: dict[str, KeptSettings] = {}
        self.caps: dict[str, tuple[UUID, Any]] = {}  # the token that they are known by, and what `core.caps` makes of them

    def find(self, holders: Iterable[Holder]) -> dict[Holder, int]:
        """The account ids of those of `holders` that were met before, but for some that others took the place of."""
        return self._ids.find(holders)

    def forget(self) -> None:
        """Knows nothing again: the database is not the one that these ids were met in."""
        self._ids, self.settings, self.caps = AccountIds(), {}, {}

    def add(self, ids: dict[Holder, int]) -> None:
        """Remembers accounts that a committed transaction has seen."""
        self._ids.add(ids)
        if len(self.settings) > _MANDATES_MAX:
            self.settings = {}

    def keep_caps(self, caps: dict[str, tuple[UUID, Any]]) -> None:
        """Remembers the caps of some mandates; with too many of them others are forgotten."""
        if len(self.caps) + len(caps) > _MANDATES_MAX:
            self.caps = {}
        self.caps |= caps


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
