"""Setting the scene of holds: rows as an authorisation leaves them."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.conftest import Rows

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PutHold = Callable[..., None]
Found = Callable[..., dict[str, Any]]

_PUT = """
    INSERT INTO holds (mandate_id, hold_key, user_id, balance_account_id, amount, local_date, authorised_at, expires_at, content_hash)
    VALUES (:mandate_id, :key, :user_id, :account_id, :amount, CAST(CAST(:authorised_at AS timestamptz) AT TIME ZONE 'UTC' AS date),
            :authorised_at, coalesce(:expires_at, CAST(:authorised_at AS timestamptz) + interval '15 minutes'), 'question')
"""


def putting(rows: Rows) -> PutHold:
    """How a test puts an open hold for a user, held of the account (None: nobody's)."""

    def put(
        key: str = "call-1",
        amount: str = "1",
        *,
        account_id: int | None = None,
        user_id: str = "ada",
        mandate_id: str = "acme",
        authorised_at: datetime = NOON,
        expires_at: datetime | None = None,
    ) -> None:
        given = {"key": key, "amount": Decimal(amount), "account_id": account_id, "user_id": user_id, "mandate_id": mandate_id}
        rows(_PUT, **given, authorised_at=authorised_at, expires_at=expires_at)
        rows("UPDATE accounts SET held = held + :amount WHERE id = :account_id", amount=Decimal(amount), account_id=account_id)

    return put


def finding(rows: Rows) -> Found:
    """How a test looks at a hold."""

    def find(key: str = "call-1", mandate_id: str = "acme") -> dict[str, Any]:
        (found,) = rows("SELECT * FROM holds WHERE mandate_id = :mandate_id AND hold_key = :key", mandate_id=mandate_id, key=key)
        return dict(found)

    return find
