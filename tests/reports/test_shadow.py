"""The shadow report: given and computed prices by mandate and model, and why some were not computed."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.errors import NotFound, RequestRefused
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.reports.shadow import ShadowPrices, shadow_prices
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.reports.priced_scene import PRICE, call, put_prices
from tests.sample_events import OCCURRED_AT, event
from tests.scene import PutSettings

__all__ = ["run"]
FIRST, LAST = OCCURRED_AT.date() - timedelta(days=1), OCCURRED_AT.date() + timedelta(days=1)


@pytest.fixture
def shadowed(database: Database, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Acme in shadow with three computed events, one of an unknown model, one of version 1; globex computed, given as given."""
    for mandate in ("acme", "globex", "plain"):
        put_settings(mandate, users=["ada"])
    put_prices(database, rows, acme="shadow", globex="computed", plain="given")
    record(
        *[call(event_id=f"e{n}", price_chf="0.01") for n in range(3)],
        call(model="new", price_chf="0.5"),
        event(price_chf="0.125"),
        call(mandate_id="globex"),
        call(mandate_id="plain", usage={"input_tokens": -5}),
    )


def found(database: Database) -> dict[str, ShadowPrices]:
    """What the report says of these days, by model."""
    return {one.model: one for one in shadow_prices(database, ROOT, first=FIRST, last=LAST)}


def test_given_and_computed_stand_side_by_side(shadowed: None, database: Database) -> None:
    """3 · 0.004928 is 0.014784 where 0.03 was given: 0.015216 less, which is 50.72 %."""
    report = found(database)
    assert list(report) == ["gpt", "new", "unknown"]
    gpt = report["gpt"]
    assert (gpt.mandate_id, gpt.mandate_name, gpt.provider, gpt.event_count, gpt.computed_count) == ("acme", "acme's name", "openai", 3, 3)
    assert (gpt.given, gpt.computed, gpt.difference) == (Decimal("0.03"), 3 * Decimal(PRICE), Decimal("-0.015216"))
    assert (gpt.difference_percent, gpt.given_beside) == (Decimal("-50.72"), Decimal(0))
    assert not gpt.not_computed
    new = report["new"]
    assert (new.event_count, new.computed_count, new.given) == (1, 0, Decimal(0))
    assert new.difference_percent is None
    assert (new.not_computed, new.given_beside) == ({"unpriced_model": 1}, Decimal("0.5"))
    assert report["unknown"].not_computed == {"no_usage": 1}


def test_what_was_amended_counts_as_it_is_now(shadowed: None, database: Database) -> None:
    """An event that an operator gave another price has no computed one any more, and is no part of the report."""
    amend_prices(database, ROOT, [NewPrice.read({"mandate_id": "acme", "event_id": "e1", "price_chf": "7"})], key="k", by="olga", worker="test")
    gpt = found(database)["gpt"]
    assert (gpt.event_count, gpt.given, gpt.computed) == (2, Decimal("0.02"), 2 * Decimal(PRICE))


def test_ranges_and_names_are_checked(shadowed: None, database: Database) -> None:
    """Another day has nothing; a year is the most; a mandate must exist."""
    day = date(2020, 1, 1)
    assert shadow_prices(database, ROOT, ["acme"], first=day, last=day) == []
    with pytest.raises(RequestRefused, match="366 days"):
        shadow_prices(database, ROOT, first=day, last=day + timedelta(days=366))
    with pytest.raises(NotFound):
        shadow_prices(database, ROOT, ["nobody"], first=day, last=day)


def test_the_command_shows_the_report(shadowed: None, run: Run) -> None:
    """A line by mandate and model; programs get every field."""
    out = run("prices", "shadow", "--mandate", "acme").out
    assert "\nacme     openai    gpt           3         3  0.030000000   0.014784000    -0.015216000  -50.72  " in out
    assert "unpriced_model: 1" in out
    found = run("prices", "shadow", "--from", str(FIRST), "--to", str(LAST), "--json").json
    assert [one["model"] for one in found] == ["gpt", "new", "unknown"]
    assert found[0]["difference"] == "-0.015216000"
