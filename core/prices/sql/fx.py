"""SQL of exchange rates: one series for each currency, in CHF."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from core.database.rows import rows

# Those rates of the given that are there already, as they stand.
_PRESENT = text("""
    SELECT f.id, f.currency, f.rate_date, f.rate
      FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS g(currency text, rate_date date)
      JOIN fx_rates f ON f.currency = g.currency AND f.rate_date = g.rate_date AND f.replaced_at IS NULL
""")
_REPLACE = text("UPDATE fx_rates SET replaced_at = now() WHERE id = ANY(:ids)")
_WRITE = text("""
    INSERT INTO fx_rates (currency, rate_date, rate, legs, source, created_by)
    SELECT currency, rate_date, rate, legs, :source, :created_by
      FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS g(currency text, rate_date date, rate numeric, legs jsonb)
     ORDER BY currency, rate_date
""")
# A day whose successor has begun may have been rated by an older rate, and is, where a stamp of its currency names one that is.
_PASSED = text("""
    SELECT g.currency, min(g.rate_date) AS first, max(g.rate_date) AS last, count(*) AS days
      FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS g(currency text, rate_date date)
     WHERE g.rate_date < CAST(now() AT TIME ZONE 'UTC' AS date)
       AND EXISTS (SELECT FROM stamps s JOIN fx_rates f ON f.id = s.fx_id
                    WHERE f.currency = g.currency AND f.rate_date BETWEEN g.rate_date - 7 AND g.rate_date)
     GROUP BY g.currency ORDER BY g.currency
""")

# Debits that were rated before a rate came that is for them: dated after the one that they were rated by, and before their own UTC day, or
# put in its place. A pair of rates is at most seven days apart, so there are few; the debits lie between the comings of the two.


class PresentRate(NamedTuple):
    """A rate that is used."""

    id: int
    currency: str
    rate_date: date
    rate: Decimal


class PassedRate(NamedTuple):
    """Rates of a currency for days after which calls were rated already by older ones: how many days, and which."""

    currency: str
    first: date
    last: date
    days: int


def present_rates(connection: Connection, given: Sequence[dict[str, Any]]) -> list[PresentRate]:
    """Of the given currencies and days, the rates that are used."""
    return rows(connection, PresentRate, _PRESENT, given=json.dumps(given, default=str))


def passed_rates(connection: Connection, given: Sequence[dict[str, Any]]) -> list[PassedRate]:
    """Of the given currencies and days, those after which calls may have been rated already."""
    return rows(connection, PassedRate, _PASSED, given=json.dumps(given, default=str))


def write_rates(connection: Connection, given: Sequence[dict[str, Any]], replaced: Sequence[int], source: str, created_by: str) -> None:
    """Writes the rates, after those that they replace are used no more. The caller holds the prices."""
    connection.execute(_REPLACE, {"ids": list(replaced)})
    connection.execute(_WRITE, {"given": json.dumps(given, default=str), "source": source, "created_by": created_by})
