"""Which faults a run of which length makes, how many events it sends, and whom they are about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.torture.broker_faults import BROKER_FAULTS, on_rabbitmq
from lab.torture.database_faults import DATABASE_FAULTS
from lab.torture.faults import POINT_FAULTS, PROCESS_FAULTS, Fault, on_redis
from lab.torture.stage import Stage

USERS = [f"u{number}" for number in range(1, 6)]
KINDS = ("user", "pool", "post", "free", "priced-shadow", "priced-computed", "zone", "late")
MANDATES = {f"m-{kind}-{number}": USERS for kind in KINDS for number in (1, 2)}
# Faults that take long, for runs of more than a minute.
SLOW = frozenset(
    {
        *(f"worker dies mid {work}" for work in ("takeover", "release", "sweep", "merge")),
        *("operator dies mid switch", "operator dies mid rerate"),
        *("two beats", "maintenance worker stopped", "worker told to end", "relay killed", "database serializable", "PostgreSQL killed"),
        *("database link slow", "database link: requests lost", "broker link: requests lost"),
    }
)


@dataclass(frozen=True, slots=True)
class Profile:
    """A way to run: minutes of attack, events per second of all producers, seconds between two faults of one hand; `short` leaves slow ones out."""

    name: str
    minutes: float
    events_per_second: float
    pauses: tuple[float, float]
    short: bool = False
    pace: float = 1.0  # of faults: how long they last in relation to what they say

    def hands(self, stage: Stage) -> Mapping[str, Sequence[Fault]]:
        """The faults that it makes on this stage, by the hand that makes them."""
        decks = {"processes": PROCESS_FAULTS, "points": POINT_FAULTS, "database": DATABASE_FAULTS, "broker": BROKER_FAULTS}
        return {hand: [fault for fault in deck if self._makes(fault, stage)] for hand, deck in decks.items()}

    def left_out(self, stage: Stage) -> list[str]:
        """The faults that this machine can't make, for want of a right or a program; what the other broker alone has is not among them."""
        every = [fault for deck in (PROCESS_FAULTS, POINT_FAULTS, DATABASE_FAULTS, BROKER_FAULTS) for fault in deck]
        able = [fault for fault in every if fault.needs not in (on_redis, on_rabbitmq) and not (self.short and fault.name in SLOW)]
        return [] if self.short else sorted(fault.name for fault in able if not fault.needs(stage))

    def _makes(self, fault: Fault, stage: Stage) -> bool:
        return bool(fault.needs(stage)) and not (self.short and fault.name in SLOW)


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("minute", 0.75, 300, (0.0, 0.3), short=True, pace=0.5),
        Profile("five-minutes", 5, 500, (0.5, 3.0)),
        Profile("half-hour", 30, 700, (0.5, 4.0)),
    )
}
