"""One delivered event on its way to an outcome."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from core.events.model import UsageEvent
from core.events.outcome import Outcome
from core.events.parsing import RawEvent, digits_below_microsecond, parse_event
from core.events.payload import PAYLOAD_HASHES, payload_hash
from core.ledger.sql.accounts import Holder
from core.ledger.sql.event_keys import EventKey, StoredHash
from core.prices.price_event import Pricing
from core.printable import shown
from core.rejection import Reason, Rejection

CLOCK_SKEW = timedelta(minutes=5)  # how far in the future a producer's clock may be
_MICROSECOND = timedelta(microseconds=1)


class Delivery(msgspec.Struct):
    """A delivered event: what it says, or why it can't be read, and what became of it."""

    raw: RawEvent
    event: UsageEvent | None
    key: EventKey = ("", "")  # only a delivery that could be read has one
    payload_hash: bytes = b""
    hash_version: int = 1  # the version of the contract that it needs, and so of its payload hash
    late: bool = False  # it is refused for its age, or for the `defect`, unless an earlier delivery was accepted under its key
    defect: Rejection | None = None  # it is of the future, or lacks the price that its mandate pays by
    pricing: Pricing | None = None  # how it is priced; None: an event of version 1, billed what was given
    operator_price: Decimal | None = None  # what an operator says that it costs, in CHF, whatever its mandate's mode
    left: bool = False  # another transaction is releasing it
    parked_at: datetime | None = None  # when it came, where it was parked since
    parked_for: str | None = None  # why it is parked now
    outcome: Outcome | None = None
    rejection: Rejection | None = None
    difference: dict[str, list[object]] | None = None

    @property
    def holder(self) -> Holder:
        """Whose usage it is."""
        assert self.event is not None
        return self.event.mandate_id, self.event.user_id

    def reject(self, rejection: Rejection) -> None:
        """It becomes a dead letter."""
        self.outcome, self.rejection = Outcome.REJECTED, rejection

    @property
    def untimely(self) -> bool:
        """Whether it comes too late, or before its time."""
        return self.late or (self.defect is not None and self.defect.reason is Reason.FUTURE)

    @property
    def acceptable(self) -> bool:
        """Whether it may be the first that is accepted under its key."""
        return not self.late and self.defect is None

    @property
    def stored_hash(self) -> StoredHash:
        """What later deliveries are compared with, if this one is accepted."""
        return StoredHash(self.payload_hash, self.hash_version)

    def refuse(self, lateness_days: int) -> None:
        """It becomes a dead letter for its time or its defect, since nothing was accepted under its key before."""
        assert self.event is not None
        too_late = f"occurred_at is more than {lateness_days} days ago (got {shown(self.event.occurred_at.isoformat())})"
        self.reject(self.defect or Rejection(Reason.TOO_LATE, too_late))

    def matches(self, stored: StoredHash) -> bool:
        """Whether it is a copy of what was accepted first, by the hash version that was used then; never by one we don't know."""
        assert self.event is not None
        if stored.hash_version == self.hash_version:
            if self.payload_hash == stored.payload_hash:
                return True
        elif stored.hash_version not in PAYLOAD_HASHES:
            return False
        elif payload_hash(self.event, stored.hash_version) == stored.payload_hash:
            return True
        return self._matches_rounded(stored)

    def _matches_rounded(self, stored: StoredHash) -> bool:
        """Whether the two differ in nothing but that one had its time cut off at the microsecond and the other had it rounded up there.

        Of what was accepted first only the microseconds are left. So it is taken for the one that was cut off if this delivery
        has no more digits than they, and for the one that was rounded if this delivery's own digits round up to it.
        """
        assert self.event is not None
        digits = digits_below_microsecond(self.raw)
        step = -_MICROSECOND if not digits else _MICROSECOND if digits >= "5" else None
        if step is None:
            return False
        try:
            first = msgspec.structs.replace(self.event, occurred_at=self.event.occurred_at + step)
        except OverflowError:  # at an end of the calendar
            return False
        return payload_hash(first, stored.hash_version) == stored.payload_hash

    def undecided(self) -> None:
        """Takes back what was rolled back with its savepoint."""
        self.left, self.pricing, self.parked_at, self.parked_for = False, None, None, None
        if self.event is not None:
            self.outcome, self.rejection, self.difference = None, None, None


def read_events(raw_events: Iterable[RawEvent]) -> list[Delivery]:
    """Each raw event read by itself, before any database is asked; what can't be read is rejected."""
    deliveries = []
    for raw in raw_events:
        try:
            event = parse_event(raw)
        except Rejection as rejection:
            deliveries.append(Delivery(raw, None, outcome=Outcome.REJECTED, rejection=rejection.alone()))
            continue
        version = event.version
        deliveries.append(Delivery(raw, event, (event.mandate_id, event.event_id), payload_hash(event, version), version))
    return deliveries


def judge_times(deliveries: Iterable[Delivery], now: datetime, lateness_days: int, *, received_at: datetime | None = None) -> None:
    """Marks what comes before its time or too late; it counts only where nothing was accepted under its key.

    Args:
        deliveries: as `read_events` gives them.
        now: the present time.
        lateness_days: the age beyond which an unseen event is too late, in days.
        received_at: the time at which they came first, if not now: their age is that of then.
    """
    latest, earliest = now + CLOCK_SKEW, (received_at or now) - timedelta(days=lateness_days)
    for delivery in deliveries:
        if delivery.event is None:
            continue
        if delivery.event.occurred_at > latest:
            delivery.defect = _future(delivery.event, now)
        elif delivery.event.occurred_at < earliest:
            delivery.late = True


def _future(event: UsageEvent, now: datetime) -> Rejection:
    ahead = f"occurred_at is more than 5 minutes ahead of {now:%Y-%m-%dT%H:%M:%SZ} (got {shown(event.occurred_at.isoformat())})"
    return Rejection(Reason.FUTURE, ahead)


Groups = dict[EventKey, list[Delivery]]


def by_key(deliveries: Sequence[Delivery]) -> Groups:
    """The deliveries of each key, in the order they came."""
    groups: Groups = {}
    for delivery in deliveries:
        groups.setdefault(delivery.key, []).append(delivery)
    return groups
