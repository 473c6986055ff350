"""One delivered event on its way to an outcome."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from core.domain.outcome import Outcome
from core.domain.parsing import RawEvent, parse_event
from core.domain.payload import HASH_VERSION, PAYLOAD_HASHES, payload_hash
from core.domain.rejection import Reason, Rejection, shown
from core.domain.usage_event import UsageEvent
from core.storage.accounts import Holder
from core.storage.event_keys import EventKey, StoredHash

CLOCK_SKEW = timedelta(minutes=5)  # how far in the future a producer's clock may be


class Delivery(msgspec.Struct):
    """A delivered event: what it says, or why it can't be read, and what became of it."""

    raw: RawEvent
    event: UsageEvent | None
    key: EventKey = ("", "")  # only a delivery that could be read has one
    payload_hash: bytes = b""
    late: bool = False
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

    def matches(self, stored: StoredHash) -> bool:
        """Whether it is a copy of what was accepted first, by the hash version that was used then; never by one we don't know."""
        assert self.event is not None
        if stored.hash_version == HASH_VERSION:
            return self.payload_hash == stored.payload_hash
        return stored.hash_version in PAYLOAD_HASHES and payload_hash(self.event, stored.hash_version) == stored.payload_hash

    def undecided(self) -> None:
        """Takes back an outcome that was rolled back with its savepoint."""
        if self.event is not None:
            self.outcome, self.rejection, self.difference = None, None, None


def judge(raw_events: Iterable[RawEvent], now: datetime, lateness_days: int, *, received_before: bool = False) -> list[Delivery]:
    """Each raw event read and judged by itself, before any database is asked.

    Args:
        raw_events: the bytes of each.
        now: the time of receipt.
        lateness_days: the age beyond which an unseen event is too late, in days.
        received_before: they were accepted earlier, so that neither their age nor a clock that goes wrong counts any more.
    """
    latest, earliest = now + CLOCK_SKEW, now - timedelta(days=lateness_days)
    deliveries = []
    for raw in raw_events:
        try:
            event = parse_event(raw)
        except Rejection as rejection:
            deliveries.append(_refused(raw, rejection))
            continue
        if event.occurred_at > latest and not received_before:
            deliveries.append(_refused(raw, _future(event, now)))
        else:
            deliveries.append(
                Delivery(
                    raw, event, (event.mandate_id, event.event_id), payload_hash(event), late=event.occurred_at < earliest and not received_before
                )
            )
    return deliveries


def _future(event: UsageEvent, now: datetime) -> Rejection:
    ahead = f"occurred_at is more than 5 minutes ahead of {now:%Y-%m-%dT%H:%M:%SZ} (got {shown(event.occurred_at.isoformat())})"
    rejection = Rejection(Reason.FUTURE, ahead)
    rejection.mandate_id, rejection.event_id = event.mandate_id, event.event_id
    return rejection


def _refused(raw: RawEvent, rejection: Rejection) -> Delivery:
    return Delivery(raw, None, outcome=Outcome.REJECTED, rejection=rejection)


def too_late(delivery: Delivery, lateness_days: int) -> Rejection:
    """The refusal of an event that nobody saw before it grew too old."""
    assert delivery.event is not None
    return Rejection(Reason.TOO_LATE, f"occurred_at is more than {lateness_days} days ago (got {shown(delivery.event.occurred_at.isoformat())})")


Groups = dict[EventKey, list[Delivery]]


def by_key(deliveries: Sequence[Delivery]) -> Groups:
    """The deliveries of each key, in the order they came."""
    groups: Groups = {}
    for delivery in deliveries:
        groups.setdefault(delivery.key, []).append(delivery)
    return groups
