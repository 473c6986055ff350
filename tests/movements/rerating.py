"""Setting the scene for re-rating: calls of one model, and what they are rated by."""

from datetime import timedelta
from decimal import Decimal

from core.asking.rights import ROOT
from core.database.database import Database
from core.prices.fx import GivenRate, import_fx
from core.prices.rules import add_rule
from tests.sample_events import OCCURRED_AT, event
from tests.scene import Breaches

SINCE = OCCURRED_AT - timedelta(days=400)
TODAY = OCCURRED_AT.date()
EACH = 7  # events of each mandate
# 1,000 * 5 + 100 * 15 per million = 0.0065 USD; * 0.8 CHF * 1.1 = 0.00572 CHF
OLD, OLD_COST = Decimal("0.005720000"), Decimal("0.0065")
# 1,000 * 10 + 100 * 15 per million = 0.0115 USD; * 0.8 * 1.1 = 0.01012 CHF
NEW, NEW_COST = Decimal("0.010120000"), Decimal("0.0115")


def usage(**fields: object) -> dict[str, object]:
    """An event that used 1,000 tokens in and 100 out."""
    counts = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
    told = {"provider": "openai", "model": "gpt", "usage_dialect": "openai.responses", "usage": counts, "price_chf": ...}
    return event(**{**told, **fields})


def set_terms(database: Database, *, rate: str = "0.8", markup: str = "10") -> int:
    """Rates of the days before the events, and a rule for all; the rule's id."""
    given = [GivenRate("USD", TODAY - timedelta(days=n), Decimal(rate)) for n in range(1, 12)]
    import_fx(database, ROOT, given, source="test", created_by="olga")
    return add_rule(database, ROOT, created_by="olga", markup_percent=Decimal(markup)).id


def broken(breaches: Breaches) -> set[str]:
    """The invariants that are broken."""
    return set(breaches())
