"""Setting the scene in the books: what the directory knows, which settings and accounts stand."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Protocol

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.directory.sql.mirror import Mandate, Membership, put_mandates, put_memberships
from core.events.outcome import BatchResult
from core.ledger.opening import KnownAccounts
from core.movements.update_settings import update_settings
from core.recording.release_parked import release_parked
from core.settings.model import MandateSettings
from core.verifying.sql.invariants.invariant import Breach
from core.verifying.verify import verify
from tests.conftest import Rows

Breaches = Callable[[], dict[str, list[Breach]]]
Change = Callable[..., MandateSettings]


class PutMandate(Protocol):
    """What the fixture `put_mandate` gives."""

    def __call__(self, mandate_id: str = "acme", *, users: Iterable[str] = (), enabled: bool = True, time_zone: str | None = None) -> None:
        """The directory knows the mandate and has these users as enabled members."""


class PutSettings(Protocol):
    """What the fixture `put_settings` gives."""

    def __call__(self, mandate_id: str = "acme", model: BillingModel = ..., *, users: Iterable[str] = (), **fields: Any) -> None:
        """The mandate is known, with these users, and has settings of this model; `fields` are columns."""


class PutAccount(Protocol):
    """What the fixture `put_account` gives."""

    def __call__(self, user_id: str | None = None, balance: str = "0", *, mandate_id: str = "acme", **fields: Any) -> int:
        """The id of a new account (of the pool without a user) with this balance; `fields` are columns."""


@pytest.fixture
def put_mandate(owner_database: Database) -> PutMandate:
    """Makes the directory know a mandate."""

    def put(mandate_id: str = "acme", *, users: Iterable[str] = (), enabled: bool = True, time_zone: str | None = None) -> None:
        with owner_database.transaction() as connection:
            put_mandates(connection, [Mandate(mandate_id, f"{mandate_id}'s name", None, enabled, time_zone)])
            put_memberships(connection, [Membership(user, mandate_id, enabled=True) for user in users])

    return put


@pytest.fixture
def put_settings(put_mandate: PutMandate, rows: Rows) -> PutSettings:
    """Gives a mandate billing settings."""

    def put(mandate_id: str = "acme", model: BillingModel = BillingModel.PREPAY_USER, *, users: Iterable[str] = (), **fields: Any) -> None:
        put_mandate(mandate_id, users=users)
        columns = {
            "mandate_id": mandate_id,
            "billing_model": model.value,
            "default_user_credit": 10,
            "warning_threshold_percent": 10,
            "block_on_zero_balance": True,
            "notify_on_warning": True,
            "time_zone": "UTC",
            "version": 1,
            **fields,
        }
        names, places = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        rows(f"INSERT INTO billing_settings ({names}) VALUES ({places})", **columns)
        rows(f"INSERT INTO billing_settings_history ({names}, changed_by) VALUES ({places}, 'test')", **columns)

    return put


@pytest.fixture
def change(database: Database, config: Configuration) -> Change:
    """Changes settings of acme, as olga."""
    return lambda **changes: update_settings(database, ROOT, "acme", changes, changed_by="olga", config=config)


@pytest.fixture
def put_account(rows: Rows) -> PutAccount:
    """Opens an account beside the ledger."""

    def put(user_id: str | None = None, balance: str = "0", *, mandate_id: str = "acme", **fields: Any) -> int:
        kind = "MANDATE" if user_id is None else "USER"
        columns = {"mandate_id": mandate_id, "user_id": user_id, "account_type": kind, "balance": Decimal(balance), "opened_version": 1, **fields}
        names, places = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        (row,) = rows(f"INSERT INTO accounts ({names}) VALUES ({places}) RETURNING id", **columns)
        return int(row["id"])

    return put


@pytest.fixture
def release(database: Database, config: Configuration, known_accounts: KnownAccounts) -> Callable[..., BatchResult]:
    """Releases parked events of the test's database; the arguments have the other fixtures as defaults."""

    def call(database: Database = database, config: Configuration = config, known_accounts: KnownAccounts = known_accounts) -> BatchResult:
        return release_parked(database, config=config, known_accounts=known_accounts, worker="test")

    return call


@pytest.fixture
def balances(rows: Rows) -> Callable[[], dict[tuple[str, str | None], Decimal]]:
    """Reads every balance: `{(mandate id, user id or None for the pool): CHF}`."""

    def read() -> dict[tuple[str, str | None], Decimal]:
        return {(row["mandate_id"], row["user_id"]): row["balance"] for row in rows("SELECT mandate_id, user_id, balance FROM accounts")}

    return read


@pytest.fixture
def breaches(database: Database) -> Breaches:
    """Reads what breaks an invariant of the books: `{invariant: breaches}`, empty where they are in order."""

    def read() -> dict[str, list[Breach]]:
        return {verdict.invariant: verdict.samples for verdict in verify(database, ROOT) if verdict.violations}

    return read
