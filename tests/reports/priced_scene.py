"""Setting the scene of priced usage: a price book with a rate, a rule and modes, and events with a usage object."""

from datetime import timedelta
from typing import Any

from core.database.database import Database
from tests.conftest import Rows
from tests.prices.scene import accepted, row
from tests.sample_events import OCCURRED_AT, event

LEAVES = "input=800,cache_read=200,output=60,output_reasoning=40"  # of `USAGE`
USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 200},
    "output_tokens": 100,
    "output_tokens_details": {"reasoning_tokens": 40},
    "total_tokens": 1100,
}
# 800 · 5 + 200 · 0.5 + 100 · 15 = 5600 millionths of a dollar; at 0.8 with 10 % on it 0.004928 CHF.
COST, PRICE = "0.0056", "0.004928"
ROWS = [row(leaf=leaf, amount=amount) for leaf, amount in (("input", "5"), ("cache_read", "0.5"), ("output", "15"), ("output_reasoning", "15"))]


def call(**fields: Any) -> dict[str, object]:
    """An event of version 2 with `USAGE`, of openai's gpt; it gives 0.25 CHF."""
    return event(**{"schema_version": 2, "usage_dialect": "openai.responses", "usage": USAGE, "provider": "openai", "model": "gpt", **fields})


def put_prices(database: Database, rows: Rows, **modes: str) -> int:
    """A price book is active, with a dollar at 0.8 and 10 % on everything; each mandate pays by its mode, since ever. Returns the version."""
    version = accepted(database, ROWS)
    on = OCCURRED_AT.date() - timedelta(days=1)
    rows(
        """
        INSERT INTO fx_rates (currency, rate_date, rate, legs, source, created_by)
        VALUES ('USD', :day, 0.8, CAST(:legs AS jsonb), 'test', 'olga')
        """,
        day=on,
        legs='[{"pair": "EUR/USD", "rate": "1.25"}, {"pair": "EUR/CHF", "rate": "1.00"}]',
    )
    rows("INSERT INTO sale_rules (markup_percent, valid, created_by) VALUES (10, '[,)', 'olga')")
    put_modes(rows, **modes)
    return version


def put_modes(rows: Rows, **modes: str) -> None:
    """Each mandate pays by its mode, since ever."""
    for mandate, mode in modes.items():
        rows(
            "INSERT INTO price_modes (mandate_id, mode, since, created_by) VALUES (:mandate, :mode, '2000-01-01', 'olga')", mandate=mandate, mode=mode
        )
    rows("UPDATE price_state SET revision = revision + 1, token = gen_random_uuid()")
