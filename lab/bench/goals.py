"""What the benchmarks measure and how good it should be: the goals as ratios of one run on one machine."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SQL_FLOOR, SCHEMA_FLOOR, NAIVE = "SQL floor", "schema floor", "naive worker"
WIDE = "recorder, 100,000 accounts"
SINGLE, SINGLE_2 = "single messages, 1 process", "single messages, 2 processes"
BATCH, PLAIN = "batch messages, 1 process", "plain JSON, 1 process"
HOT, HOT_2 = "hot pool, 1 process", "hot pool, 2 processes"
RABBITMQ, RABBITMQ_2 = "RabbitMQ, single messages, 1 process", "RabbitMQ, single messages, 2 processes"
LATENCY = "publish to committed debit at 1,000 events/s, p99"
CHECK, CHECK_TASK = "balance check as a function, p99", "balance check by task, p99"
CHECK_STREAM = "balance check by task at 1,000 events/s, p99"
BACKFILL, BACKFILL_FLOOR = "backfill of 1 M memberships, accounts/s", "bare INSERT of the same accounts and grants, accounts/s"
ROLLUP = "rollup of 1 M events in 50,000 groups, times a bare GROUP BY"


@dataclass(frozen=True)
class Ratio:
    """A rate against another one of the same round, which should be at least so much."""

    rate: str
    against: str
    at_least: float

    @property
    def what(self) -> str:
        """Its name: numerator and denominator."""
        return f"{self.rate} / {self.against}"


@dataclass(frozen=True)
class Limit:
    """A figure that should be at most so much, in its unit."""

    what: str
    at_most: float
    unit: str


GOALS: list[Ratio | Limit] = [
    Ratio(SCHEMA_FLOOR, SQL_FLOOR, 0.6),
    Ratio(WIDE, SCHEMA_FLOOR, 0.6),
    Ratio(BATCH, SCHEMA_FLOOR, 0.8),
    Ratio(PLAIN, SCHEMA_FLOOR, 0.8),
    Ratio(SINGLE_2, SCHEMA_FLOOR, 0.6),
    Ratio(SINGLE_2, NAIVE, 40),
    Ratio(RABBITMQ_2, NAIVE, 15),
    Ratio(HOT, SINGLE, 1.0),
    Ratio(HOT_2, SINGLE_2, 0.85),
    Limit(LATENCY, 100, "ms"),
    Limit(CHECK, 2, "ms"),
    Limit(CHECK_TASK, 10, "ms"),
    Limit(CHECK_STREAM, 50, "ms"),
    Limit(ROLLUP, 2, "times"),
    Ratio(BACKFILL, BACKFILL_FLOOR, 0.1),
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


def verdicts(rounds: Mapping[str, Sequence[float]], goals: Sequence[Ratio | Limit] = GOALS) -> list[Verdict]:
    """Each goal for which there are figures: `rounds` holds those of each path (events/s) or limit, in the order of the rounds."""
    found = []
    for goal in goals:
        if isinstance(goal, Ratio):
            if goal.rate in rounds and goal.against in rounds:
                values = [rate / against for rate, against in zip(rounds[goal.rate], rounds[goal.against], strict=True)]
                median = statistics.median(values)
                found.append(Verdict(goal.what, median, min(values), max(values), f"at least {goal.at_least:g}", median >= goal.at_least))
        elif goal.what in rounds:
            values = list(rounds[goal.what])
            median = statistics.median(values)
            at_most = f"at most {goal.at_most:g} {goal.unit}"
            found.append(Verdict(goal.what, median, min(values), max(values), at_most, median <= goal.at_most, goal.unit))
    return found
