"""The condition of the books, for whoever watches them: a screen, a report, Prometheus.

What costs as much as there is of it is counted up to a limit: `Count.more` then says that there are at least so many.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from core.alerts.sql.outbox import count_waiting
from core.asking.view import root, view
from core.billing import AlertKind, BillingModel
from core.database.rows import rows
from core.jobs.read import JobAge
from core.jobs.sql.shown import LATEST
from core.prices.model import UnpricedReason
from core.statistics.read_progress import RollupStatus
from core.statistics.sql.progress import STATUS
from core.verifying.sql.shown_findings import VIOLATIONS
from core.watching import sql

COUNTED_MAX = 10_000
HOLDS_MAX = 50_000  # each one's row is read, for what it keeps
RATE_SECONDS = 60.0
LAG_SECONDS = 600.0  # no lag is told of books into which nothing came for so long
_BATCHES_MAX = 10_000  # looked at for the rate: more than a minute brings, or the rate is that of the time they cover
_LATEST_BATCHES, _LATEST_ENTRIES = 200, 5_000  # looked at for the lag
_LOW_MAX = 10
_SUSPENSE = frozenset(reason.value for reason in UnpricedReason)


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are; with `more` at least so many, since nobody counted further."""

    number: int
    more: bool

    def __str__(self) -> str:
        """The number with its thousands, and "at least" where there are more."""
        return f"{'at least ' if self.more else ''}{self.number:,}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for one reason: how many as in `Count`, and how long the first has waited, in seconds."""

    reason: str
    number: int
    more: bool
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Recent:
    """Events that got an outcome in the `seconds` before now, by outcome, and how many that is in a second."""

    seconds: float
    rate: float
    recorded: int
    duplicate: int
    conflict: int
    rejected: int
    parked: int


@dataclass(frozen=True, slots=True)
class LowAccount:
    """An account that is beyond the line at which it warns; amounts in CHF. A pool has no user."""

    account_id: int
    mandate_id: str
    user_id: str | None
    billing_model: BillingModel
    balance: Decimal
    warning_threshold: Decimal
    credit_limit: Decimal | None


@dataclass(frozen=True, slots=True)
class OpenHolds:
    """Holds that the clock hasn't ended: how many as in `Count`, what they keep (CHF), and for how long (s) the first ended one isn't settled."""

    number: int
    more: bool
    held_chf: Decimal
    overdue_seconds: float


@dataclass(frozen=True, slots=True)
class Condition:
    """What the books tell of how they are, at one moment.

    Attributes:
        at: when, by the database's clock.
        last_commit: when deliveries were last committed, as far as the latest 10,000 batches tell.
        recent: what came of the deliveries of the last minute.
        lag_seconds: of events recorded in the last ten minutes, how long after they happened; the median of the latest ones, None without any.
        open_letters: open dead letters by reason.
        parked: parked events by reason; `parked_events` altogether, exactly, `suspense_events` of them for want of a price.
        suspense_oldest_seconds: how long the first of these has waited; 0 without any.
        jobs: each scheduled job's age.
        violations: what the latest reconciliation counted, by invariant, those that hold with 0.
        below_threshold: accounts that warn; those that never had credit aren't among them, nor those that don't pay under their mandate's model.
        below_zero: prepaid accounts that are overdrawn.
        above_limit: postpaid pools beyond their credit limit.
        low_accounts: ten of `below_threshold`, the lowest balance first.
        holds: open holds.
        caps_reached: present windows of caps whose spending has reached the limit, of caps that tell of 100 % (as they do by default).
        rollup: what the statistics lack.
        alerts_waiting: alerts to be published, counted up to 100,000, and how long the first has waited; 0 without any.
        producer_gaps: gaps in what producers numbered, and for how long the oldest is open (s; 0 without any).
        outcomes_waiting: outcomes that wait to be told to producers.
    """

    at: datetime
    last_commit: datetime | None
    recent: Recent
    lag_seconds: float | None
    open_letters: list[Waiting]
    parked: list[Waiting]
    parked_events: int
    suspense_events: int
    suspense_oldest_seconds: float
    jobs: list[JobAge]
    violations: dict[str, int]
    below_threshold: Count
    below_zero: Count
    above_limit: Count
    low_accounts: list[LowAccount]
    holds: OpenHolds
    caps_reached: Count
    rollup: RollupStatus
    alerts_waiting: int
    alerts_oldest_seconds: float
    producer_gaps: Count
    producer_gap_oldest_seconds: float
    outcomes_waiting: Count


@view(None, sees=root("watch the books"))
def condition(connection: Connection) -> Condition:
    """How the books are, at the cost of some ten short questions, however large they are."""
    connection.execute(sql.BY_INDEX)
    recent = connection.execute(sql.RECENT, {"batches_max": _BATCHES_MAX, "seconds": RATE_SECONDS}).one()._asdict()
    at, last_commit = recent.pop("at"), recent.pop("last_commit")
    latest = {"batches_max": _LATEST_BATCHES, "entries_max": _LATEST_ENTRIES, "seconds": LAG_SECONDS}
    parked = rows(connection, Waiting, sql.PARKED, counted_max=COUNTED_MAX)
    altogether = connection.execute(sql.PARKED_ALTOGETHER).one()
    caps_reached = rows(connection, Count, sql.CAPS_REACHED, counted_max=COUNTED_MAX)[0]
    alerts_waiting, alerts_oldest_seconds = count_waiting(connection)
    gaps = connection.execute(sql.PRODUCER_GAPS, {"counted_max": COUNTED_MAX}).one()
    return Condition(
        at=at,
        last_commit=last_commit,
        recent=_recent(recent),
        lag_seconds=connection.execute(sql.LAG, latest).scalar_one(),
        open_letters=rows(connection, Waiting, sql.OPEN_LETTERS, counted_max=COUNTED_MAX),
        parked=parked,
        parked_events=altogether.parked,
        suspense_events=altogether.suspense,
        suspense_oldest_seconds=max((one.oldest_seconds for one in parked if one.reason in _SUSPENSE), default=0.0),
        jobs=rows(connection, JobAge, LATEST),
        violations={found.invariant: found.violations for found in connection.execute(VIOLATIONS)},
        below_threshold=_beyond(connection, AlertKind.WARNING),
        below_zero=_beyond(connection, AlertKind.ZERO),
        above_limit=_beyond(connection, AlertKind.CREDIT_LIMIT),
        low_accounts=rows(connection, LowAccount, sql.LOW, **_of(AlertKind.WARNING), limit=_LOW_MAX),
        holds=rows(connection, OpenHolds, sql.HOLDS, holds_max=HOLDS_MAX)[0],
        caps_reached=caps_reached,
        rollup=rows(connection, RollupStatus, STATUS)[0],
        alerts_waiting=alerts_waiting,
        alerts_oldest_seconds=alerts_oldest_seconds,
        producer_gaps=Count(gaps.number, gaps.more),
        producer_gap_oldest_seconds=gaps.oldest_seconds,
        outcomes_waiting=rows(connection, Count, sql.OUTCOMES_WAITING, counted_max=COUNTED_MAX)[0],
    )


def _beyond(connection: Connection, kind: AlertKind) -> Count:
    return rows(connection, Count, sql.BEYOND, **_of(kind))[0]


def _of(kind: AlertKind) -> dict[str, object]:
    return {"kind": kind.value, "counted_max": COUNTED_MAX}


def _recent(found: Mapping[str, object]) -> Recent:
    counts = {outcome: int(str(found[outcome])) for outcome in ("recorded", "duplicate", "conflict", "rejected", "parked")}
    covered = float(str(found["covered_seconds"]))
    seconds = min(RATE_SECONDS, covered) if found["more"] and covered else RATE_SECONDS
    return Recent(seconds, round(sum(counts.values()) / seconds, 3), **counts)
