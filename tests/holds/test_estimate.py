"""A hold may be asked for by what the call is expected to use: its price is that of the active version, now."""

from decimal import Decimal
from typing import Any

import pytest

from core.billing import BillingModel, HoldState
from core.checks.model import Refusal
from core.config import Configuration
from core.database.database import Database
from core.errors import Conflict
from tests.conftest import Rows
from tests.holds.asking import Holds, money, told
from tests.prices.scene import accepted, row
from tests.reports.priced_scene import put_prices
from tests.scene import PutAccount, PutSettings

USAGE = {"input": 800, "cache_read": 200, "output": 60, "output_reasoning": 40}  # 0.004928 CHF (tests/reports/priced_scene.py)
CALL: dict[str, Any] = {"amount": None, "estimated_usage": USAGE, "provider": "openai", "model": "gpt"}
PRICE = Decimal("0.004928")


@pytest.fixture
def holds(database: Database, config: Configuration, put_settings: PutSettings, put_account: PutAccount) -> Holds:
    """What is asked of holds; ada pays for herself, with CHF 0.01."""
    put_settings("acme", BillingModel.PREPAY_USER, users=["ada"])
    put_account("ada", "0.01")
    return Holds(database, config)


def test_an_estimate_is_held_at_its_price(holds: Holds, database: Database, rows: Rows) -> None:
    """0.004928 twice; the third isn't there any more. The hold says by which version."""
    version = put_prices(database, rows)
    assert told(holds.authorise("a", **CALL), "allowed amount") == (True, PRICE)
    assert money(holds.authorise("b", **CALL)) == (Decimal("0.01"), 2 * PRICE, Decimal("0.000144"))
    assert told(holds.authorise("c", **CALL), "reason amount") == (Refusal.INSUFFICIENT_BALANCE, PRICE)
    assert rows("SELECT DISTINCT amount, price_version FROM holds") == [{"amount": PRICE, "price_version": version}]


@pytest.mark.parametrize(
    ("other", "detail"),
    [
        ({"model": "other"}, "unpriced_model: no row is for openai other at "),
        ({"service_tier": "flex"}, "unknown_tier: no row is for openai gpt with region_scope global, service_tier flex"),
        ({"estimated_usage": {"input": 1, "web_search": 1}}, "unpriced_class: no row prices web_search of openai gpt"),
    ],
)
def test_what_has_no_price_is_refused(holds: Holds, database: Database, rows: Rows, other: dict[str, Any], detail: str) -> None:
    """With the detail; nothing is kept of it, so once there is a price the same key may be asked for."""
    put_prices(database, rows)
    answer = holds.authorise("a", **{**CALL, **other})
    assert told(answer, "allowed reason state amount") == (False, Refusal.UNPRICED_MODEL, None, None)
    assert (answer.detail or "").startswith(detail)
    assert rows("SELECT * FROM holds") == []
    assert money(answer) == (Decimal("0.01"), 0, Decimal("0.01"))
    assert holds.authorise("a", **CALL).allowed


def test_without_a_price_book_no_estimate_is_held(holds: Holds) -> None:
    """Nothing has a price."""
    assert holds.authorise("a", **CALL).reason is Refusal.UNPRICED_MODEL


def test_the_content_of_an_estimate_is_what_is_estimated(holds: Holds, database: Database, rows: Rows) -> None:
    """Not its price, which another version may change, or have no more; another estimate is a conflict."""
    put_prices(database, rows)
    holds.authorise("a", **CALL)
    accepted(database, [row(leaf="input", amount="500")])
    assert told(holds.authorise("a", **CALL), "allowed repeated amount") == (True, True, PRICE)
    rows("UPDATE price_state SET active_version = NULL, revision = revision + 1, token = gen_random_uuid()")
    assert told(holds.authorise("a", **CALL), "allowed state amount") == (True, HoldState.OPEN, PRICE)
    for other in ({"estimated_usage": {**USAGE, "output": 61}}, {"model": "other"}, {"speed": "fast"}):
        with pytest.raises(Conflict):
            holds.authorise("a", **{**CALL, **other})
