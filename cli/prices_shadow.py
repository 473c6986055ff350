"""`tollbook prices shadow`: what was given beside what would have been computed."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, Mandates, ToDay, day
from cli.output.show import Listing, show_rows
from core.reports.shadow import shadow_prices

EXAMPLE = "Example: tollbook prices shadow --mandate acme --from 2026-11-01 --to 2026-11-30"
_MONTH = timedelta(days=30)
_LISTING = Listing(
    ("mandate", "mandate_id"),
    "provider",
    "model",
    ("events", "event_count"),
    ("computed", "computed_count"),
    ("given CHF", "given"),
    ("computed CHF", "computed"),
    ("difference CHF", "difference"),
    ("%", "difference_percent"),
    ("not computed", lambda one: one.not_computed or None),
)


def shadow(
    *,
    mandates: Mandates = None,
    from_day: Annotated[str | None, typer.Option("--from", help="From this local day on. Default: 31 days up to --to.")] = None,
    to_day: ToDay = None,
    as_json: AsJson = False,
) -> None:
    """Compare the prices that were given with those that would have been computed, by mandate and model, under the mode `shadow`.

    The amounts are of the events that have a computed price; why the others have none stands beside them. The greatest difference of a
    mandate comes first. 366 days at most; --to is today by default.
    """
    last = day(to_day, "--to") or (datetime.now(UTC) + timedelta(hours=14)).date()  # where a day comes first
    first = day(from_day, "--from") or last - _MONTH
    found = ask(shadow_prices, mandates or None, first=first, last=last)
    show_rows(found, _LISTING, as_json=as_json)
