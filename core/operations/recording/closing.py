"""The end of a recording transaction: its dead letters and its own row; and what to tell once it is committed."""

from collections import Counter

from core.domain.outcome import BatchResult, Outcome
from core.metrics import BATCH_EVENTS, BATCH_SECONDS, DEAD_LETTERS, EVENTS, UNKNOWN_USERS
from core.operations.recording.delivery import Delivery
from core.operations.recording.work import Settled, Work
from core.storage.batches import write_batch
from core.storage.dead_letters import DeadLetter, write_dead_letters


def close_batch(work: Work, deliveries: list[Delivery], settled: Settled, *, worker: str, kind: str) -> None:
    """Writes the dead letters, the batch's row and its rollup still to be done; the last step before the commit."""
    write_dead_letters(work.connection, [_dead_letter(d) for d in deliveries if d.rejection is not None], work.batch.id)
    write_batch(
        work.connection,
        work.batch,
        worker=worker,
        kind=kind,
        counts={outcome.value: n for outcome, n in _result(deliveries, settled).counts().items()},
        released=len(deliveries) if work.releasing else 0,
        unknown_user=settled.unknown_users,
        transaction_ids=settled.transaction_ids,
    )


def committed(work_seconds: float, deliveries: list[Delivery], settled: Settled) -> BatchResult:
    """The result of a batch whose transaction has committed, counted for Prometheus."""
    result = _result(deliveries, settled)
    for outcome, n in result.counts().items():
        EVENTS.labels(outcome.value).inc(n)
    for reason, n in result.reasons.items():
        DEAD_LETTERS.labels(reason).inc(n)
    UNKNOWN_USERS.inc(result.unknown_users)
    BATCH_SECONDS.observe(work_seconds)
    BATCH_EVENTS.observe(len(deliveries))
    return result


def _result(deliveries: list[Delivery], settled: Settled) -> BatchResult:
    outcomes: list[Outcome] = []
    for delivery in deliveries:
        assert delivery.outcome is not None, "every delivery has an outcome before the batch is closed"
        outcomes.append(delivery.outcome)
    reasons = Counter(d.rejection.reason.value for d in deliveries if d.rejection is not None)
    return BatchResult(outcomes, settled.unknown_users, dict(reasons))


def _dead_letter(delivery: Delivery) -> DeadLetter:
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
