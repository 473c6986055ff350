"""The periods that usage is added up by: local days, and the months and years that they lie in."""

from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum

_LAST_TO_END = timezone(timedelta(hours=-12))  # no zone is further behind: a day that ended there ended everywhere


class PeriodType(StrEnum):
    """How long a period is."""

    DAY = "DAY"
    MONTH = "MONTH"
    YEAR = "YEAR"

    def start(self, day: date) -> date:
        """The first day of the period that `day` lies in."""
        match self:
            case PeriodType.DAY:
                return day
            case PeriodType.MONTH:
                return day.replace(day=1)
            case PeriodType.YEAR:
                return day.replace(month=1, day=1)


def days_of(year: int, month: int | None = None) -> tuple[date, date]:
    """The first and the last day of a year, or of one of its months.

    Raises:
        ValueError: there is no such year or month.
    """
    first = date(year, 1 if month is None else month, 1)
    last_month = 12 if month is None else month
    last = date(year, 12, 31) if last_month == 12 else date(year, last_month + 1, 1) - timedelta(days=1)
    return first, last


def last_ended_day(now: datetime) -> date:
    """The latest calendar day that is over in every time zone at `now` (aware), whichever a mandate has."""
    return now.astimezone(UTC).astimezone(_LAST_TO_END).date() - timedelta(days=1)
