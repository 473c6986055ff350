"""One torture run: the stage is set, everything works while the nemesis does harm, then all is mended, quiet, and judged."""

import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.statistics.roll_up import roll_up_usage
from lab.oracle import torture_operator
from lab.oracle.torture import Expectation, judge_balances, judge_batches, judge_events, judge_statistics
from lab.postgres import OWNER
from lab.process import reachable_dir, wait_until
from lab.torture import reading
from lab.torture.journal import answers_in, read_journal
from lab.torture.lines import read_lines
from lab.torture.looks import all_work, is_drained, outbox_is_empty
from lab.torture.nemesis import Nemesis
from lab.torture.operator_first import first_books, last_books
from lab.torture.operator_tables import read_tables
from lab.torture.producer import WAYS
from lab.torture.profiles import MANDATES, PROFILES, Profile
from lab.torture.reading import OUTCOMES, database_of
from lab.torture.stage import BEAT, FRAGILE, FRAGILE_MAINTENANCE, MAINTENANCE, OPERATOR, WORKERS, Scale, Stage
from lab.torture.traffic import GARBAGE, KINDS

QUIET_SECONDS = 600.0
PATIENCE = 4.0  # how much longer an attack may take until every fault has been, in relation to its time
PATIENCE_SECONDS_MAX = 1_800.0
# Who may refuse to start, with exit code 78, where a server refuses it just then.
MAY_REFUSE = {f"{name} ended with 78" for name in (*WORKERS, MAINTENANCE, FRAGILE, FRAGILE_MAINTENANCE, BEAT)}
CALM_SECONDS = 180.0
SETTLED_LOOKS = 3  # the queues are empty at so many looks in a row
Told = Callable[[str], None]


@dataclass(slots=True)
class Result:
    """What a run did and found."""

    seed: int
    profile: str
    broker: str
    events: int = 0  # deliveries that certainly arrived
    maybe: int = 0  # deliveries of which nobody knows
    faults: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)  # the operator's, by what came of them
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    not_exercised: list[str] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)  # producers and kinds of messages of which nothing certainly arrived
    left_out: list[str] = field(default_factory=list)  # faults that this machine can't make
    unknown: str = ""  # why nothing can be said, where that is so
    impossible: list[str] = field(default_factory=list)  # faults that could not be made at their time
    crashes: dict[str, int] = field(default_factory=dict)  # processes that ended by themselves with an error, and were started again
    deadlocks: int = 0
    seconds: float = 0.0
    quiet_seconds: float = 0.0
    folder: Path | None = None  # where logs and journals are kept
    command: str = ""  # that makes the same run again

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong, everything was exercised, and all of it is known."""
        return not (self.lost or self.doubled or self.drifted or self.not_exercised or self.unknown)

    def as_json(self) -> dict[str, Any]:
        """One object, the numbers of what was found in the place of the words."""
        return {
            "seed": self.seed,
            "profile": self.profile,
            "broker": self.broker,
            "events": self.events,
            "maybe": self.maybe,
            "faults": sum(self.faults.values()),
            "faults_by_kind": self.faults,
            **{name: len(getattr(self, name)) for name in ("lost", "doubled", "drifted")},
            "not_exercised": self.not_exercised,
            "left_out": self.left_out,
            "unknown": self.unknown,
            "outcomes": self.outcomes,
            "crashes": self.crashes,
            "operations": sum(self.operations.values()),
            "deadlocks": self.deadlocks,
            "impossible": len(self.impossible),
            "seconds": round(self.seconds, 1),
            "quiet_seconds": round(self.quiet_seconds, 1),
        }


def run(
    profile_name: str, *, seed: int, broker: str, told: Told, minutes: float | None = None, events_max: int | None = None, keep: bool = False
) -> Result:
    """A run of the profile of that name, in a folder of its own, which stays where anything is wrong, or to `keep` it."""
    folder, kept = reachable_dir("tollbook-torture-"), True
    try:
        result = _torture(PROFILES[profile_name], seed=seed, broker=broker, folder=folder, told=told, minutes=minutes, events_max=events_max)
        kept = keep or not result.passed
    except KeyboardInterrupt:
        kept = keep
        raise
    finally:
        if kept:
            told(f"logs and journals are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    options = [("minutes", minutes), ("events", events_max), ("broker", broker if broker != "redis" else None)]
    more = "".join(f" --{name} {value}" for name, value in options if value is not None)
    result.folder, result.command = folder if kept else None, f"tollbook torture --seed {seed} --profile {profile_name}{more}"
    return result


def _torture(
    profile: Profile, *, seed: int, broker: str, folder: Path, told: Told, minutes: float | None = None, events_max: int | None = None
) -> Result:
    """Runs it in `folder`, where logs and journals stay.

    Args:
        profile: what is made, and for how long.
        seed: of traffic and faults.
        broker: `redis` or `rabbitmq`.
        folder: of servers, logs and journals; for root one that the servers' account can reach.
        told: lines for who watches.
        minutes: of attack, in place of the profile's.
        events_max: the attack ends when so many were sent.

    Raises:
        ServerFailed: a server does not start, or does not heal.
    """
    begun = time.monotonic()
    result = Result(seed, profile.name, broker)
    rate, seconds = profile.events_per_second, (minutes or profile.minutes) * 60
    whole = not profile.short
    scale = Scale(broker=broker, seed=seed, events_per_second=rate, events_max=events_max, mandates=MANDATES, seconds=seconds, whole=whole)
    with Stage(folder, scale) as stage:
        first_books(stage.operator_plan(stage.servers.postgres.url()))
        told(f"seed {seed}: PostgreSQL, {'Valkey' if broker == 'redis' else 'RabbitMQ'} and {len(stage.names)} processes in {folder}")
        result.left_out = profile.left_out(stage)
        if result.left_out:
            told(f"left out, for this machine can't make it: {', '.join(result.left_out)}")
        for name in stage.names:
            stage.start(name)
        hands = dict(profile.hands(stage))
        kinds = {fault.name for faults in hands.values() for fault in faults}
        with Nemesis(stage, hands, seed, profile.pauses, told, pace=profile.pace) as nemesis:
            _attack(stage, nemesis, kinds, told)
        _heal(stage)
        _calm(stage, told)
        _come_to_rest(stage, result, told)
        result.faults, result.impossible = dict(sorted(nemesis.done.items())), nemesis.failures
        told("judging the books")
        _judge(stage, result)
        not_done = _branches_missing(result.outcomes) | _operations_missing(result.operations, short=profile.short)
        result.not_exercised = sorted(result.silent | nemesis.lacks(kinds) | not_done)
    result.seconds = time.monotonic() - begun
    return result


def _come_to_rest(stage: Stage, result: Result, told: Told) -> None:
    told("mended; waiting for quiet")
    begun = time.monotonic()
    result.unknown = _quiet(stage)
    result.quiet_seconds = time.monotonic() - begun
    result.crashes = dict(stage.crashes)


def _attack(stage: Stage, nemesis: Nemesis, kinds: Collection[str], told: Told) -> None:
    """For the run's time, or until every producer has sent what it was to send; longer where a fault has not been made yet."""
    end, patience = time.monotonic() + stage.scale.seconds, 0.0
    while not _all_sent(stage):
        left = end + patience - time.monotonic()
        if left <= 0:
            missing = nemesis.lacks(kinds)
            if not missing or patience:
                return
            told(f"going on, for there was not yet: {', '.join(sorted(missing))}")
            patience = min(PATIENCE * stage.scale.seconds + 60, PATIENCE_SECONDS_MAX)
        elif patience and not nemesis.lacks(kinds):
            return
        time.sleep(min(1.0, max(left, 0.1)))
        stage.supervise()
    told("every event is sent")


def _all_sent(stage: Stage) -> bool:
    return bool(stage.scale.events_max) and all(stage.has_finished(way) for way in WAYS)


def _calm(stage: Stage, told: Told) -> None:
    """Producers and the operator work on undisturbed, until every outcome and every operation has been."""
    end, missing = time.monotonic() + CALM_SECONDS, set[str]()
    while not _all_sent(stage) and time.monotonic() < end and (found := _missing_by_now(stage)):
        if not missing:
            told(f"mended; going on, for there was not yet: {', '.join(sorted(found))}")
        missing = found
        time.sleep(1)
        stage.supervise()
    for name in (*WAYS, OPERATOR):
        stage.end(name)


def _missing_by_now(stage: Stage) -> set[str]:
    """What of outcomes and operations has not happened yet."""
    operations = torture_operator.exercised(list(read_lines(stage.operator_plan("").journal)))
    with reading.books_of(stage) as books:
        outcomes = reading.outcomes(books)
    return _branches_missing(outcomes) | _operations_missing(operations, short=not stage.scale.whole)


def _heal(stage: Stage) -> None:
    stage.end("beat-2")
    stage.servers.heal()
    for name in stage.names:
        if not (name in WAYS and stage.has_finished(name)):
            stage.start(name)


def _quiet(stage: Stage) -> str:
    """Waits until every worker works and nothing is under way any more; what it isn't, if that doesn't come."""
    last_books(stage.operator_plan(stage.servers.postgres.url()))
    looks = (("every worker works", all_work), ("the outbox is empty", outbox_is_empty), ("the queues are empty", is_drained))
    for what, look in looks:
        if not wait_until(_several_times(stage, look), QUIET_SECONDS):
            return f"not within {QUIET_SECONDS:.0f} s after all was mended: {what}"
    for name in stage.names:
        stage.end(name)
    last_books(stage.operator_plan(stage.servers.postgres.url()))
    with database_of(stage) as database:
        if not wait_until(lambda: roll_up_usage(database).complete, QUIET_SECONDS):
            return f"not within {QUIET_SECONDS:.0f} s: everything is in the statistics"
    return ""


def _several_times(stage: Stage, look: Callable[[Stage], bool]) -> Callable[[], bool]:
    seen = [0]

    def settled() -> bool:
        time.sleep(0.3)
        seen[0] = seen[0] + 1 if look(stage) else 0
        return seen[0] >= SETTLED_LOOKS

    return settled


def _expected(stage: Stage) -> Expectation:
    sent = Expectation()
    for way, message in ((one, message) for one in WAYS for message in read_journal(stage.plan(one).journal)):
        bodies, (kind, _, what) = list(message.bodies), message.kind.partition(": ")
        sent.ways[f"producer {way}"] += message.sure
        sent.ways[f"messages: {kind}"] += message.sure
        if what:
            sent.refuse(bodies.pop(), GARBAGE[what], sure=message.sure)
        for body in bodies:
            sent.deliver(body, sure=message.sure)
    return sent


def _judge(stage: Stage, result: Result) -> None:
    """Holds the books against what was sent, the oracle's arithmetic, and the product's own `verify`."""
    sent = _expected(stage)
    result.events, result.maybe = sent.events, sent.maybe
    sent.ways["checks"] = answers_in(stage.plan("client").journal)
    expected = ("checks", *(f"producer {way}" for way in WAYS), *(f"messages: {kind}" for kind in KINDS))
    result.silent = {f"{what}: nothing certainly arrived" for what in expected if not sent.ways[what]}
    with reading.books_of(stage) as books:
        found = judge_events(sent, books.rows(reading.DEBITS), books.rows(reading.PARKED), books.rows(reading.LETTERS))
        result.outcomes = reading.outcomes(books)
        found.drifted.extend(judge_balances(books.rows(reading.ACCOUNTS), books.rows(reading.MOVED)))
        found.drifted.extend(judge_statistics(books.rows(reading.COUNTED), books.rows(reading.STATISTICS)))
        found.drifted.extend(judge_batches(result.outcomes, **books.row(reading.TOTALS), sent=sent))
        journal = list(read_lines(stage.operator_plan("").journal))
        with database_of(stage, OWNER) as database, database.snapshot() as connection:
            found.drifted.extend(torture_operator.judge(journal, read_tables(connection)))
        result.operations = dict(sorted(torture_operator.exercised(journal).items()))
        result.deadlocks = stage.servers.deadlocks
    found.drifted.extend(reading.violations(stage))
    found.drifted.extend(f"{result.deadlocks} deadlocks" for _ in range(result.deadlocks > 0))
    found.drifted.extend(f"{what}, {count} times" for what, count in result.crashes.items() if what not in MAY_REFUSE)
    result.lost, result.doubled, result.drifted = found.lost, found.doubled, found.drifted


def _operations_missing(done: Mapping[str, int], *, short: bool) -> set[str]:
    """What the operator was to come to, and has not."""
    expected = torture_operator.EXPECTED if short else torture_operator.EXPECTED_LONG
    return {f"operation {name}" for name in expected if not done.get(name)}


def _branches_missing(outcomes: Mapping[str, int]) -> set[str]:
    """Outcomes that a run must have seen, and has not."""
    expected = {*OUTCOMES, *(f"refused: {reason}" for reason in (*GARBAGE.values(), "conflict")), "alert: WARNING", "alert: ZERO", "holds captured"}
    return {f"outcome {name}" for name in expected if not outcomes.get(name)}
