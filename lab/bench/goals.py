"""What the benchmarks measure and how good it should be: the goals as ratios of one run on one machine."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SQL_FLOOR, SCHEMA_FLOOR, NAIVE = "SQL floor", "schema floor", "naive worker"
SINGLE, SINGLE_2 = "single messages, 1 process", "single messages, 2 processes"
V2_SHADOW, V2_COMPUTED = "single v2, shadow", "single v2, computed"
BATCH, PLAIN = "batch messages, 1 process", "plain JSON, 1 process"
HOT, HOT_2 = "hot pool, 1 process", "hot pool, 2 processes"
RABBITMQ, RABBITMQ_2 = "RabbitMQ, single messages, 1 process", "RabbitMQ, single messages, 2 processes"
PUBLISH = "`tollbook publish`, batches of 500"
NEWCOMERS = "first usage of new accounts, with grants, accounts/s"
CPU_WORKER, CPU_POSTGRES = f"{SINGLE_2}: processor time of the workers", f"{SINGLE_2}: processor time of PostgreSQL"
LATENCY = "publish to committed debit at 1,000 events/s, p99"
CHECK, CHECK_TASK = "balance check as a function, p99", "balance check by task, p99"
CHECK_STREAM = "balance check by task at 1,000 events/s, p99"
AUTHORISE, AUTHORISE_TASK = "hold authorised as a function at 200/s, p99", "hold authorised by task at 200/s, p99"
AUTHORISE_POOL = "hold authorised as a function at 200/s of a pool with 10,000 events/s, p99"
AUTHORISE_POOL_TASK = "hold authorised by task at 200/s of a pool with 10,000 events/s, p99"
AUTHORISE_HOT = "holds authorised of one pool, 2 processes, authorisations/s"
V2_GIVEN, V2_HELD, V2_CAPPED = "single v2, given", "single v2, given, with holds", "single v2, given, with 20 caps per mandate"
BACKFILL, BACKFILL_FLOOR = "backfill of 1 M memberships, accounts/s", "bare INSERT of the same accounts and grants, accounts/s"
ROLLUP = "rollup of 1 M events in 50,000 groups, times a bare GROUP BY"
ACCOUNTS = (1_000, 100_000, 1_000_000)
FEW_MANDATES, MANY_MANDATES = "recorder, 100,000 accounts of 50 mandates", "recorder, 100,000 accounts of 10,000 mandates"
MEMORY = "peak memory of a worker that has met 1,000,000 accounts"
DISK_V2, WAL_V2 = "disk per event of version 2, computed, times one of version 1", "log (WAL) per event of version 2, times one of version 1"
DISK_HELD = "disk per event of version 2 with a hold and the hold, times one of version 1"
WAL_HELD = "log (WAL) per event of version 2 with a hold, times one of version 1"
DISK, WAL, WAL_WIDE = "disk per event", "log (WAL) per event, 1,000 accounts", "log (WAL) per event, 100,000 accounts"


def recorder(accounts: int, *, zipf: bool = False) -> str:
    """The name of a rate: over so many accounts, used equally or by Zipf's law."""
    return f"recorder, {accounts:,} accounts{', Zipf' if zipf else ''}"


NARROW, WIDE, WIDEST = map(recorder, ACCOUNTS)


@dataclass(frozen=True)
class Ratio:
    """A rate against another one of the same round, which should be at least so much."""

    rate: str
    against: str
    at_least: float
    unit: str = ""

    @property
    def what(self) -> str:
        """Its name: numerator and denominator."""
        return f"{self.rate} / {self.against}"

    def values(self, rounds: Mapping[str, Sequence[float]]) -> list[float]:
        """What was measured of it in each round; none if it wasn't."""
        if not {self.rate, self.against} <= rounds.keys():
            return []
        return [rate / against for rate, against in zip(rounds[self.rate], rounds[self.against], strict=True)]


@dataclass(frozen=True)
class Least:
    """A figure that should be at least so much, in its unit."""

    what: str
    at_least: float
    unit: str

    def values(self, rounds: Mapping[str, Sequence[float]]) -> Sequence[float]:
        """What was measured of it in each round; none if it wasn't."""
        return rounds.get(self.what, ())


@dataclass(frozen=True)
class Limit:
    """A figure that should be at most so much, in its unit."""

    what: str
    at_most: float
    unit: str

    def values(self, rounds: Mapping[str, Sequence[float]]) -> Sequence[float]:
        """What was measured of it in each round; none if it wasn't."""
        return rounds.get(self.what, ())


Goal = Ratio | Least | Limit

GOALS: list[Goal] = [
    Ratio(SCHEMA_FLOOR, SQL_FLOOR, 0.7),
    Ratio(SINGLE_2, SQL_FLOOR, 0.65),
    Ratio(BATCH, SQL_FLOOR, 0.65),
    Ratio(BATCH, SCHEMA_FLOOR, 0.8),
    Ratio(PLAIN, SCHEMA_FLOOR, 0.8),
    Ratio(SINGLE_2, SCHEMA_FLOOR, 0.6),
    Ratio(SINGLE_2, NAIVE, 55),
    Ratio(RABBITMQ_2, NAIVE, 15),
    Ratio(V2_SHADOW, SINGLE_2, 0.8),
    Ratio(V2_COMPUTED, SINGLE_2, 0.8),
    Ratio(V2_HELD, V2_GIVEN, 0.8),
    Ratio(V2_CAPPED, V2_GIVEN, 0.8),
    Ratio(HOT, SINGLE, 1.0),
    Ratio(HOT_2, SINGLE_2, 0.85),
    Ratio(WIDE, NARROW, 0.85),
    Ratio(WIDEST, NARROW, 0.65),
    Ratio(MANY_MANDATES, FEW_MANDATES, 0.8),
    Limit(MEMORY, 200, "MiB"),
    Least(NEWCOMERS, 25_000, "accounts/s"),
    Least(PUBLISH, 150_000, "events/s"),
    Limit(CPU_WORKER, 13, "µs per event"),
    Limit(CPU_POSTGRES, 12, "µs per event"),
    Limit(DISK, 420, "B"),
    Limit(WAL, 650, "B"),
    Limit(WAL_WIDE, 1_000, "B"),
    Limit(DISK_V2, 1.5, "times"),
    Limit(WAL_V2, 1.5, "times"),
    Limit(LATENCY, 100, "ms"),
    Limit(CHECK, 2, "ms"),
    Limit(CHECK_TASK, 10, "ms"),
    Limit(CHECK_STREAM, 50, "ms"),
    Limit(AUTHORISE, 3, "ms"),
    Limit(AUTHORISE_TASK, 12, "ms"),
    Limit(AUTHORISE_POOL, 40, "ms"),
    Limit(AUTHORISE_POOL_TASK, 40, "ms"),
    Least(AUTHORISE_HOT, 1_500, "authorisations/s"),
    Limit(ROLLUP, 1.4, "times"),
    Ratio(BACKFILL, BACKFILL_FLOOR, 0.5),
]


@dataclass(frozen=True)
class Verdict:
    """A goal and what was measured: the median of the rounds, and the lowest and highest."""

    what: str
    measured: float
    lowest: float
    highest: float
    goal: str
    met: bool
    unit: str = ""


def verdicts(rounds: Mapping[str, Sequence[float]], goals: Sequence[Goal] = GOALS) -> list[Verdict]:
    """Each goal for which there are figures: `rounds` holds those of each path (events/s) or limit, in the order of the rounds."""
    return [_verdict(goal, values) for goal in goals if (values := goal.values(rounds))]


def _verdict(goal: Goal, values: Sequence[float]) -> Verdict:
    median = statistics.median(values)
    if isinstance(goal, Limit):
        words, met = f"at most {goal.at_most:,g}", median <= goal.at_most
    else:
        words, met = f"at least {goal.at_least:,g}", median >= goal.at_least
    return Verdict(goal.what, median, min(values), max(values), f"{words} {goal.unit}".rstrip(), met, goal.unit)
