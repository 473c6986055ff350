"""One batch from its first to its last statement, and what to tell once it is committed."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy import Connection

from core.config import Configuration
from core.events.outcome import BatchResult, Outcome
from core.ledger.opening import KnownAccounts
from core.ledger.sql.batches import BatchKind, begin_batch, write_batch
from core.metrics import BATCH_EVENTS, BATCH_SECONDS, DEAD_LETTERS, DEAD_LETTERS_WITHOUT_ROOM, EVENTS, HOLD_EVENTS, UNKNOWN_USERS, UNPRICED
from core.prices.load import prices_of
from core.recording.delivery import Delivery, judge_times
from core.recording.log_batch import log_batch
from core.recording.sources import name_by_source
from core.recording.sql.dead_letters import DeadLetter, Room, write_dead_letters
from core.recording.telling import count_withheld, leave_for_producers
from core.recording.work import Settled, Work

log = structlog.get_logger()

Settle = Callable[[Work, list[Delivery]], Settled]


def settle_batch(
    connection: Connection,
    deliveries: list[Delivery],
    settle: Settle,
    *,
    config: Configuration,
    known_accounts: KnownAccounts,
    worker: str,
    kind: BatchKind = BatchKind.USAGE,
    letters: int = 0,
    hold_clock: datetime | None = None,
    received_at: datetime | None = None,
) -> Settled:
    """Everything that a recording transaction does between its beginning and its commit.

    `letters` is the number of dead letters that the deliveries of a replay come from: their first outcome is counted already. Holds end by
    `hold_clock`, and usage has come at `received_at`: by default the database's own time. What is replayed or released was judged before.

    Raises:
        BadData: `settle` came upon something that the database refuses.
    """
    batch = begin_batch(connection, by_keys_alone=True)
    work = Work(connection, config, batch, known_accounts, prices_of(connection, batch.prices_token), kind, hold_clock)
    name_by_source(connection, deliveries)
    if kind is BatchKind.USAGE:
        judge_times(deliveries, received_at or batch.started_at, config.lateness_days)
    settled = settle(work, deliveries)
    released = letters
    if kind is BatchKind.RELEASE:
        deliveries = [d for d in deliveries if not d.left]
        released = len(deliveries)
    refused = [dead_letter_of(d) for d in deliveries if d.rejection is not None]
    # What was kept so far, parked or in a letter, stays whole: nobody sends it again.
    room = Room(config.dead_letters_max, config.dead_letters_bytes_max) if kind is BatchKind.USAGE else None
    settled.without_room = write_dead_letters(connection, refused, work.batch.id, room)
    settled.untold = leave_for_producers(connection, deliveries, config, kind)
    write_batch(
        connection,
        work.batch,
        worker=worker,
        kind=kind.value,
        counts={outcome.value: n for outcome, n in _result(deliveries, settled).counts().items()},
        released=released,
        unknown_user=settled.unknown_users,
        transaction_ids=settled.transaction_ids,
    )
    return settled


def committed(work_seconds: float, deliveries: list[Delivery], settled: Settled) -> BatchResult:
    """The result of a batch whose transaction has committed, counted for Prometheus."""
    result = _result(deliveries, settled)
    for outcome, n in result.counts().items():
        EVENTS.labels(outcome.value).inc(n)
    for reason, n in result.reasons.items():
        DEAD_LETTERS.labels(reason).inc(n)
    for reason, n in settled.without_room.items():
        DEAD_LETTERS_WITHOUT_ROOM.labels(reason).inc(n)
    for how, n in settled.hold_events.items():
        HOLD_EVENTS.labels(how).inc(n)
    UNKNOWN_USERS.inc(result.unknown_users)
    count_withheld(settled.untold)
    _tell_of_unpriced(deliveries)
    log_batch(deliveries, settled)
    BATCH_SECONDS.observe(work_seconds)
    BATCH_EVENTS.observe(len(deliveries))
    return result


def _tell_of_unpriced(deliveries: list[Delivery]) -> None:
    """Counts what was recorded or parked without a computed price, and warns once of all that is parked for want of one."""
    found = Counter(
        (delivery.pricing.mode, delivery.outcome, delivery.pricing.unpriced.reason.value)
        for delivery in deliveries
        if delivery.pricing is not None and delivery.pricing.unpriced is not None
    )
    parked: Counter[str] = Counter()
    for (mode, outcome, reason), n in found.items():
        if outcome in (Outcome.RECORDED, Outcome.PARKED):
            UNPRICED.labels(mode.value, reason).inc(n)
        if outcome is Outcome.PARKED:
            parked[reason] += n
    if parked:
        log.warning("prices.missing", parked=parked.total(), reasons=dict(sorted(parked.items())))


def _result(deliveries: list[Delivery], settled: Settled) -> BatchResult:
    outcomes: list[Outcome] = []
    for delivery in deliveries:
        assert delivery.outcome is not None, "every delivery has an outcome before the batch is closed"
        outcomes.append(delivery.outcome)
    reasons = Counter(d.rejection.reason.value for d in deliveries if d.rejection is not None)
    return BatchResult(outcomes, settled.unknown_users, dict(reasons))


def dead_letter_of(delivery: Delivery) -> DeadLetter:
    """The dead letter that a refused delivery becomes."""
    raw, rejection, event = delivery.raw, delivery.rejection, delivery.event
    assert rejection is not None
    return DeadLetter(
        raw.body,
        raw.typed_json,
        raw.origin,
        rejection.reason.value,
        rejection.detail,
        delivery.difference,
        event.mandate_id if event else rejection.mandate_id,
        event.event_id if event else rejection.event_id,
        delivery.payload_hash or None,
    )
