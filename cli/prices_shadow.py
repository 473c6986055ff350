"""`tollbook prices shadow`: what was given beside what would have been computed."""

from datetime import UTC, datetime, timedelta

from cli.asking import ask
from cli.options import AsJson, Mandates
from cli.output.show import Listing, show_rows
from cli.ranges import Days, ranged
from core.reports.shadow import ShadowPrices, shadow_prices

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
    of=ShadowPrices,
    less=("provider", "computed"),
)


@ranged
def shadow(
    *,
    mandates: Mandates = None,
    days: Days,
    as_json: AsJson = False,
) -> None:
    """Compare the prices that were given with those that would have been computed, by mandate and model, under the mode `shadow`.

    The amounts are of the events that have a computed price; why the others have none stands beside them. The greatest difference of a
    mandate comes first. 366 days at most: by default 31 up to --to, which is today.
    """
    last = days.last or (datetime.now(UTC) + timedelta(hours=14)).date()  # where a day comes first
    first = days.first or last - _MONTH
    found = ask(shadow_prices, mandates or None, first=first, last=last)
    show_rows(found, _LISTING, as_json=as_json)
