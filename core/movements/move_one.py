"""A request that is one entry on one balance."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from core.asking.request import Request, RowId
from core.ledger.entry import Entry
from core.ledger.hold import locked_accounts
from core.ledger.kinds import EntryKind
from core.ledger.post import post
from core.movements.result import MovementResult, result_of
from core.settings.model import BillingSettings


class OneMovement(Request):
    """A request about `account_id`; `balance_account_id` is the account whose balance moves, where that is another one."""

    account_id: RowId | None = None
    balance_account_id: RowId | None = None

    @property
    def payer(self) -> int:
        """The account whose balance moves."""
        account_id = self.balance_account_id or self.account_id
        assert account_id is not None, "a movement names an account by now"
        return account_id

    def content(self) -> dict[str, Any]:
        """As ever; naming the account itself as the one whose balance moves says no more than leaving it out."""
        content = super().content()
        return {**content, "balance_account_id": None} if self.payer == self.account_id else content

    def earlier_contents(self) -> list[Mapping[str, Any]]:
        """What an earlier version made of the same request, where it was spelled differently."""
        return [{**self.content(), "balance_account_id": self.payer}] if self.payer == self.account_id else []


def move_one(
    connection: Connection, settings: BillingSettings, asked: OneMovement, kind: EntryKind, amount: Decimal, description: str
) -> MovementResult:
    """Posts the one entry that `asked` comes to.

    Raises:
        NotFound: the mandate has no such account.
        RequestRefused: the balance would become more than the books can hold.
    """
    account_id = asked.account_id or asked.payer
    entry = Entry(settings, kind, account_id, asked.payer, amount, description, asked.by, asked.key)
    return result_of(entry, post(connection, [entry], locked_accounts(connection, asked.mandate_id, {account_id, asked.payer})))
