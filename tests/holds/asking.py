"""Asking for holds in the test's database."""

from datetime import datetime
from typing import Any

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.holds.answer import HoldAnswer
from core.holds.authorise import authorise
from core.holds.change import HoldChange
from core.holds.expire import expire_holds
from core.holds.question import HoldName, HoldQuestion, Renewal
from core.holds.release import release_hold
from core.holds.renew import renew_hold
from core.ledger.opening import KnownAccounts
from tests.scene import Breaches


def question(key: str = "call-1", amount: object = "1", **fields: Any) -> HoldQuestion:
    """What ada in acme asks; `fields` replace or add some."""
    return HoldQuestion.read({"mandate_id": "acme", "user_id": "ada", "key": key, "amount": amount, **fields})


class Holds:
    """Everything that can be asked of holds, at a time that is given: None is the database's own."""

    def __init__(self, database: Database, config: Configuration) -> None:
        self.database, self.config, self.known = database, config, KnownAccounts()

    def authorise(self, key: str = "call-1", amount: object = "1", *, at: datetime | None = None, **fields: Any) -> HoldAnswer:
        """Ada of acme asks."""
        asked = question(key, amount, **fields)
        return authorise(self.database, ROOT, asked, config=self.config, known_accounts=self.known, clock=at)

    def renew(self, key: str = "call-1", ttl_seconds: int = 900, *, at: datetime | None = None) -> HoldChange:
        """Of acme."""
        return renew_hold(self.database, ROOT, Renewal.read({"mandate_id": "acme", "key": key, "ttl_seconds": ttl_seconds}), clock=at)

    def release(self, key: str = "call-1", *, at: datetime | None = None) -> HoldChange:
        """Of acme."""
        return release_hold(self.database, ROOT, HoldName.read({"mandate_id": "acme", "key": key}), known_accounts=self.known, clock=at)

    def expire(self, *, at: datetime | None = None) -> int:
        """The sweep."""
        return expire_holds(self.database, known_accounts=self.known, clock=at)


def money(answer: HoldAnswer) -> tuple[Any, ...]:
    """Balance, held and available, as the answer tells them."""
    return answer.current_balance, answer.held, answer.available


def broken(breaches: Breaches) -> list[str]:
    """The invariants of holds that the books break; balances that stand beside the ledger are no matter here."""
    return sorted(name for name in breaches() if name.startswith("H"))


def told(found: object, names: str) -> tuple[Any, ...]:
    """The fields of an answer that are named, with blanks between."""
    return tuple(getattr(found, name) for name in names.split())
