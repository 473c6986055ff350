"""Setting the scene for caps: set as an operator would, and what they came to."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

import pytest

from core.asking.rights import ROOT
from core.caps.set_cap import CapSet, NewCap, set_cap
from core.database.database import Database
from tests.conftest import Rows

Counted = Callable[[], dict[tuple[int, str, date], tuple[Decimal, Decimal]]]


class SetCap(Protocol):
    """What the fixture `put_cap` gives."""

    def __call__(self, limit: str = "10", period: str = "DAY", *, clock: datetime | None = None, database: Database = ..., **fields: Any) -> CapSet:
        """Sets a cap of acme, as olga; `fields` are those of `NewCap`."""


@pytest.fixture
def put_cap(database: Database) -> SetCap:
    """Sets caps of acme, as olga."""

    def put(limit: str = "10", period: str = "DAY", *, clock: datetime | None = None, database: Database = database, **fields: Any) -> CapSet:
        asked = NewCap.read({"mandate_id": "acme", "by": "olga", "limit_chf": limit, "period": period, **fields})
        return set_cap(database, ROOT, asked, clock=clock)

    return put


@pytest.fixture
def counted(rows: Rows) -> Counted:
    """Reads every counter: `{(cap id, user id, window): (spent, held)}`."""

    def read() -> dict[tuple[int, str, date], tuple[Decimal, Decimal]]:
        found = rows("SELECT cap_id, user_id, window_start, spent, held FROM cap_counters")
        return {(row["cap_id"], row["user_id"], row["window_start"]): (row["spent"], row["held"]) for row in found}

    return read
