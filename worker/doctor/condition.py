"""Looks at what the books say of themselves: jobs, findings, prices, letters."""

from collections.abc import Iterator
from datetime import date

from core.asking.rights import ROOT
from core.clock import utc_now
from core.config import Configuration
from core.dead_letters.read import overflow
from core.dead_letters.read_room import kept_letters
from core.directory.sql import requests as directory
from core.housekeeping import housekeep
from core.jobs.read import JobAge, job_ages
from core.prices.model import Mode
from core.prices.read import Status, status
from core.recording import backfill_accounts
from core.settings import backfill as backfill_settings
from core.statistics import close_day
from core.statistics.read_progress import rollup_status
from core.verifying import reconcile
from core.verifying.read_findings import latest_violations
from core.watching.read import Count, condition
from worker.doctor.finding import Finding, error, ok, warning
from worker.doctor.subject import Subject

_LATE = 2  # periods that a job may be late by, so that one failure is no finding
_DAY_SECONDS = 24 * 3600
_ROLLUP_SECONDS = 600
_PARKED_SECONDS = 600  # longer than a directory is behind
_FX_DAYS = 5  # a long weekend without a new rate
_FULL = 0.8  # of the room for dead letters
_BEAT = "is beat at work, and a worker of `maintenance`?"


def look_at_jobs(subject: Subject) -> Iterator[Finding]:
    """Whether each scheduled job was done in time, and its latest run didn't fail."""
    with subject.books() as database:
        found = {job.job: job for job in job_ages(database, ROOT)}
        rollup = rollup_status(database, ROOT)
    periods = _periods(subject.config)
    never = [name for name in periods if name not in found or found[name].age_seconds is None]
    bad = [warning(f"never done: {', '.join(never)}", f"wait an hour on a new installation; else {_BEAT}")] if never else []
    bad += [finding for name, seconds in periods.items() if name in found for finding in _overdue(seconds, found[name])]
    if rollup.oldest_seconds > _ROLLUP_SECONDS:
        what = f"statistics lack {rollup.pending_events:,} events, the oldest for {_time(rollup.oldest_seconds)}"
        bad.append(warning(what, f"tollbook rollup run; {_BEAT}"))
    yield from bad or [ok(f"{len(periods)} jobs were done in time")]


def _periods(config: Configuration) -> dict[str, float]:
    """How often each job that leaves runs is done, in seconds."""
    directory_seconds = {directory.JOB: config.directory_sync_seconds} if config.directory_url else {}
    return directory_seconds | {
        backfill_settings.JOB: backfill_settings.PERIOD_SECONDS,
        backfill_accounts.JOB: backfill_accounts.PERIOD_SECONDS,
        housekeep.JOB: housekeep.PERIOD_SECONDS,
        reconcile.JOB: reconcile.PERIOD_SECONDS,
        close_day.JOB: _DAY_SECONDS,
    }


def _overdue(seconds: float, job: JobAge) -> Iterator[Finding]:
    if job.age_seconds is not None and job.age_seconds > _LATE * seconds:
        told = f"{job.job} was last done {_time(job.age_seconds)} ago, and is done every {_time(seconds)}"
        yield warning(told, f"tollbook jobs --job {job.job}; {_BEAT}")
    if job.failed:
        yield warning(f"the latest run of {job.job} failed", f"tollbook jobs --job {job.job} --limit 1")


def look_at_findings(subject: Subject) -> Iterator[Finding]:
    """Whether the latest reconciliation found every invariant to hold."""
    with subject.books() as database:
        counted = latest_violations(database, ROOT)
    broken = {name: number for name, number in counted.items() if number}
    if not counted:
        yield warning("the books were never reconciled", f"tollbook reconcile; {_BEAT}")
    elif broken:
        told = ", ".join(f"{name} {number:,}" for name, number in broken.items())
        yield error(f"invariants are broken: {told}", "tollbook findings (docs/operations.md#reconciling)")
    else:
        yield ok(f"the latest reconciliation found all {len(counted)} invariants to hold")


def look_at_prices(subject: Subject) -> Iterator[Finding]:
    """Whether there are prices where mandates pay computed ones, and exchange rates are of these days."""
    with subject.books() as database:
        found = status(database, ROOT)
    computed = sum(number for mode, number in found.modes.items() if mode != Mode.GIVEN)
    yield from price_findings(found, utc_now().date(), computed=computed)


def price_findings(found: Status, today: date, *, computed: int) -> Iterator[Finding]:
    """What is to be done about the price book; `computed`: how many mandates have their price computed, to be paid or beside the given one."""
    if not computed:
        yield ok(
            "no mandate's prices are computed" if found.active is None else f"version {found.active.id} is active; no mandate's prices are computed"
        )
        return
    if found.active is None:
        yield error(f"{computed} mandates have computed prices, and no version of the price book is active", "tollbook prices import, then accept")
        return
    old = [f"{currency} {day}" for currency, day in sorted(found.newest_fx.items()) if (today - day).days > _FX_DAYS]
    if old:
        yield warning(f"the newest exchange rates are of {', '.join(old)}", "tollbook prices fx import")
    if found.proposals:
        yield warning(
            f"price versions wait to be accepted: {', '.join(map(str, found.proposals))}", f"tollbook prices diff {found.proposals[-1]}, then accept"
        )
    if not old and not found.proposals:
        yield ok(f"version {found.active.id} is active; {computed} mandates have computed prices")


def look_at_waiting(subject: Subject) -> Iterator[Finding]:
    """Whether events wait for somebody: open dead letters, events parked for long, and those for want of a price."""
    with subject.books() as database:
        books = condition(database, ROOT)
    bad = []
    if books.open_letters:
        told = ", ".join(f"{one.reason} {Count(one.number, one.more)}" for one in books.open_letters)
        bad.append(warning(f"dead letters are open: {told}", "tollbook deadletters list --status OPEN (docs/operations.md#dead-letters)"))
    oldest = max((one.oldest_seconds for one in books.parked), default=0.0)
    if oldest > _PARKED_SECONDS:
        prices = f", {books.suspense_events:,} of them for want of a price" if books.suspense_events else ""
        told = f"{books.parked_events:,} events are parked{prices}, the oldest for {_time(oldest)}"
        bad.append(warning(told, "tollbook parked list --per-mandate (docs/runbook.md#events-are-parked)"))
    yield from bad or [ok("no letter is open, and no event is parked for long")]


def look_at_letters(subject: Subject) -> Iterator[Finding]:
    """Whether there is room for further dead letters."""
    config = subject.config
    with subject.books() as database:
        kept, refused = kept_letters(database, ROOT), sum(one.letters for one in overflow(database, ROOT))
    letters, size = sum(one.letters for one in kept), sum(one.bytes for one in kept)
    queue = max((max(one.letters / config.dead_letters_max, one.bytes / config.dead_letters_bytes_max) for one in kept), default=0.0)
    share = max(letters / config.dead_letters_max, size / config.dead_letters_bytes_max, 2 * queue)  # one queue's may be half as many
    cure = "tollbook deadletters list --status OPEN: see who sends them, decide about them; discarded ones age out"
    if share > _FULL:
        yield (error if share >= 1 else warning)(f"the room for dead letters is {min(share, 1):.0%} full: beyond it they are only counted", cure)
    if refused:
        yield warning(f"{refused:,} deliveries were only counted, since there was no room for another letter", "tollbook deadletters overflow")
    if share <= _FULL and not refused:
        yield ok(f"{letters:,} letters kept, room for {config.dead_letters_max:,}")


def _time(seconds: float) -> str:
    for unit, length in (("days", 2 * 86_400), ("hours", 2 * 3600), ("minutes", 2 * 60)):
        if seconds >= length:
            return f"{seconds / (length / 2):.0f} {unit}"
    return f"{seconds:.0f} s"
