"""When a model is free: all rows that count are of 0."""

from datetime import timedelta
from decimal import Decimal

from core.prices.book import Prices
from core.prices.model import Alias, Layer, PriceRow, SaleRule
from tests.prices.books import NOON, PLAIN, row


def is_free(
    *rows: PriceRow, mandate_id: str = "acme", model: str = "gpt-6", rules: tuple[SaleRule, ...] = (), aliases: tuple[Alias, ...] = ()
) -> bool:
    """Whether openai's model is free to a mandate at noon."""
    return Prices(rows=rows, rules=rules, aliases=aliases).is_free(mandate_id, "openai", model, NOON)


def test_a_model_is_free_by_all_of_its_rows() -> None:
    """One leaf, tier, dimension or class that costs makes it none; without any row nobody knows."""
    assert is_free(row("input", "0"), row("output", "0"))
    assert not is_free(row("input", "0"), row("output", "0.000000000001"))
    assert not is_free(row("input", "0"), row("input", "1", **{**PLAIN, "service_tier": "priority"}))
    assert not is_free()
    assert not is_free(row("input", "0"), model="other")


def test_rows_count_while_they_hold() -> None:
    """What begins later, or has ended, doesn't."""
    later, before = {"valid_from": NOON + timedelta(seconds=1)}, {"valid_to": NOON}
    assert is_free(row("input", "0", valid_from=NOON), row("input", "1", **before), row("output", "1", **later))
    assert not is_free(row("input", "0", **before))


def test_a_contract_goes_before_the_list() -> None:
    """Leaf by leaf, and for its mandate alone."""
    own = {"layer": Layer.MANDATE, "mandate_id": "acme"}
    assert is_free(row("input", "1"), row("input", "0", **own))
    assert not is_free(row("input", "1"), row("output", "1"), row("input", "0", **own))
    assert not is_free(row("input", "1"), row("input", "0", **own), mandate_id="globex")
    assert not is_free(row("input", "0"), row("input", "1", **own))


def test_where_a_book_is_paid_by_its_rows_count() -> None:
    """A SALE book with a price, though the provider takes none, and the other way round; one for another model changes nothing."""
    sale, sold = {"layer": Layer.SALE, "book": "retail"}, SaleRule(1, None, 0, None, None, None, "retail", None, None)
    assert not is_free(row("input", "0"), row("input", "1", **sale), rules=(sold,))
    assert is_free(row("input", "1"), row("input", "0", **sale), rules=(sold,))
    assert is_free(row("input", "0"), row("input", "1", **sale), rules=(sold._replace(model="other"),))
    assert is_free(row("input", "0"), rules=(sold._replace(book=None, markup_percent=Decimal(10)),))


def test_an_alias_is_its_model() -> None:
    """While it is valid."""
    alias = Alias(1, "openai", "latest", "gpt-6", None, None)
    assert is_free(row("input", "0"), model="latest", aliases=(alias,))
    assert not is_free(row("input", "0"), model="latest", aliases=(alias._replace(valid_to=NOON),))
