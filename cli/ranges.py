"""Ranges of time, in the same words everywhere: `--from`, `--to`, `--day`, `--month`, `--year`.

Days are local and included: those of the mandate where usage is meant by its day; elsewhere, and for `today`, `yesterday` and `7d`, those
of `TOLLBOOK_DEFAULT_TIME_ZONE`. Where points in time are meant, an RFC 3339 time may stand in place of a day: from it on, or before it.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from functools import wraps
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from cli.context import find_servers
from core.clock import utc_now
from core.errors import RequestRefused
from core.events.model import parse_time
from core.statistics.read import days_in

_WORDS = "today, yesterday, or 7d for seven days ago"
_AGO = re.compile(r"([0-9]{1,5})d")
_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Days:
    """The days from `first` to `last`, both included; None: no bound."""

    first: date | None = None
    last: date | None = None

    def __bool__(self) -> bool:
        return self.first is not None or self.last is not None


@dataclass(frozen=True, slots=True)
class Moments:
    """The time from `since` on and before `until`, both aware; None: no bound."""

    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None


def _option(names: Sequence[str], told: str, *, hidden: bool = False) -> Any:
    return Annotated[str | None, typer.Option(*names, metavar=names[0].removeprefix("--").upper(), show_default=False, hidden=hidden, help=told)]


_COMMON = {
    "in_day": _option(["--day"], f"Only this day, in place of --from and --to: 2026-01-31, {_WORDS}."),
    "in_month": _option(["--month"], "Only this month: 2026-01, or 1 to 12 of --year, else of this year."),
    "in_year": _option(["--year"], "Only this year: 2026."),
}
_OPTIONS: dict[Any, dict[str, Any]] = {
    Days: {
        "from_": _option(["--from"], f"From this local day on: 2026-01-31, {_WORDS}."),
        "to": _option(["--to"], "Up to this local day, itself included."),
        **_COMMON,
    },
    Moments: {
        "from_": _option(["--from"], f"From this day or time on: 2026-01-31, 2026-01-31T12:00:00+01:00, {_WORDS}."),
        "to": _option(["--to"], "Up to this day, itself included, or before this time."),
        "since": _option(["--since"], "As --from.", hidden=True),
        "until": _option(["--until"], "As --to.", hidden=True),
        **_COMMON,
    },
}


def ranged(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter of the kind `Days` or `Moments` comes from the options of ranges: typer sees these in its place."""
    signature = inspect.signature(command)
    name, kind = next((p.name, p.annotation) for p in signature.parameters.values() if p.annotation in (Days, Moments))
    options = [inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=told) for one, told in _OPTIONS[kind].items()]
    parameters = [p for parameter in signature.parameters.values() for p in (options if parameter.name == name else [parameter])]
    parameters.sort(key=lambda parameter: parameter.kind)  # the options are told where they stand, behind what may stand alone

    @wraps(command)
    def run(*args: Any, **given: Any) -> None:
        said = {one: given.pop(one) for one in _OPTIONS[kind]}
        command(*args, **{name: _days(said) if kind is Days else _moments(said)}, **given)

    vars(run).update(__signature__=signature.replace(parameters=parameters), __annotations__={p.name: p.annotation for p in parameters})
    return run


def day(text: str, option: str) -> date:
    """The day that was typed: 2026-01-31, today, yesterday, or so many days ago.

    Raises:
        BadParameter: it is none.
    """
    ago = {"today": "0d", "yesterday": "1d"}.get(text, text)
    try:
        if matched := _AGO.fullmatch(ago):
            return utc_now().astimezone(zone()).date() - timedelta(days=int(matched[1]))
        return date.fromisoformat(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no day such as 2026-01-31, {_WORDS}", param_hint=option) from None


def day_or_moment(text: str, option: str) -> date | datetime:
    """The day or the point in time that was typed.

    Raises:
        BadParameter: it is neither.
    """
    try:
        return day(text, option)
    except typer.BadParameter:
        pass
    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}, and no day such as 2026-01-31, {_WORDS}", param_hint=option) from None


def first_of_month(text: str, option: str) -> date:
    """The first day of the month that was typed.

    Raises:
        BadParameter: it is none.
    """
    matched = _MONTH.fullmatch(text)
    try:
        if matched:
            return date(int(matched[1]), int(matched[2]), 1)
    except ValueError:
        pass
    raise typer.BadParameter(f"{text!r} is no month such as 2026-10", param_hint=option)


def moment(text: str, option: str) -> datetime:
    """The point in time that was typed, or when the day that was typed begins.

    Raises:
        BadParameter: it is neither.
    """
    return begin_of(day_or_moment(text, option))


def zone() -> tzinfo:
    """In which days are meant where no mandate says otherwise."""
    return ZoneInfo(find_servers().default_time_zone)


def begin_of(said: date | datetime) -> datetime:
    """The point in time, or when the day begins."""
    return said if isinstance(said, datetime) else datetime.combine(said, time(), zone())


def end_of(said: date | datetime) -> datetime:
    """The point in time, or when the day is over."""
    return said if isinstance(said, datetime) else datetime.combine(said + _ONE_DAY, time(), zone())


def _days(said: dict[str, str | None]) -> Days:
    if whole := _whole(said):
        return whole
    first, last = said["from_"], said["to"]
    return Days(None if first is None else day(first, "--from"), None if last is None else day(last, "--to"))


def _moments(said: dict[str, str | None]) -> Moments:
    for name, old in (("from_", "since"), ("to", "until")):
        if said[name] is not None and said[old] is not None:
            raise typer.BadParameter(f"is the same as --{old}: name one", param_hint=f"--{name.rstrip('_')}")
        said[name] = said[name] or said[old]
    if (whole := _whole(said)) and whole.first and whole.last:
        return Moments(begin_of(whole.first), end_of(whole.last))
    first, last = said["from_"], said["to"]
    since = None if first is None else begin_of(day_or_moment(first, "--from"))
    return Moments(since, None if last is None else end_of(day_or_moment(last, "--to")))


def _whole(said: dict[str, str | None]) -> Days:
    """The day, month or year that is named."""
    in_day, in_month, in_year = (said[name] for name in ("in_day", "in_month", "in_year"))
    if in_day is in_month is in_year is None:
        return Days()
    if said["from_"] is not None or said["to"] is not None or (in_day is not None and (in_month or in_year) is not None):
        raise typer.BadParameter("name --from and --to, or --day, or --month, or --year")
    if in_day is not None:
        return Days(day(in_day, "--day"), day(in_day, "--day"))
    return Days(*_month_or_year(in_month, in_year))


def _month_or_year(month: str | None, year: str | None) -> tuple[date, date]:
    if month is not None and (matched := _MONTH.fullmatch(month)):
        if year is not None:
            raise typer.BadParameter("names its year: leave --year out", param_hint="--month")
        year, month = matched[1], matched[2]
    numbers = []
    for text, option, example in ((year, "--year", "2026"), (month, "--month", "2026-01")):
        if text is not None and not (text.isascii() and text.isdigit()):
            raise typer.BadParameter(f"{text!r} is none such as {example}", param_hint=option)
        numbers.append(None if text is None else int(text))
    try:
        return days_in(utc_now().astimezone(zone()).year if numbers[0] is None else numbers[0], numbers[1])
    except RequestRefused as error:
        raise typer.BadParameter(error.reason) from None
