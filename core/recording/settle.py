"""The body of a recording transaction: every delivery gets its one outcome.

The order of locks is the same everywhere: mandates, settings opened, accounts opened, parked events, stamps, event keys, holds, usage
shapes, balances with what is held of them, counters of caps, dead letters, and within each kind sorted, so that two batches never wait
for each other in a circle. What is known already is looked for before any of them but the first, without a lock, so that copies and
refused events open nothing; who parks looks for event keys again once it has parked, who records for parked events once it has claimed.
"""

from collections.abc import Collection
from contextlib import suppress

from core.billing import BillingModel
from core.caps.counters import caps_of
from core.caps.sql.alerts import CapAlert
from core.database.database import savepoint
from core.errors import BadData, StorageUnavailable
from core.events.outcome import Outcome
from core.holds.capture import Captured, capture
from core.ledger.meet_mandates import Mandates, meet, settings_of
from core.ledger.open_accounts import Found, Holders, find_accounts_of, open_accounts_of
from core.ledger.priced import Priced
from core.ledger.sql.alerts import BalanceAlert
from core.ledger.sql.batches import BatchKind
from core.ledger.sql.event_keys import EventKey, StoredHash, claim_keys, find_keys
from core.ledger.sql.transactions import UsageDebit, insert_usage
from core.prices.billed import billed
from core.printable import one_line
from core.recording.balances import debit_balances
from core.recording.caps import count_in_caps
from core.recording.conflicts import compare
from core.recording.delivery import Delivery, Groups, by_key
from core.recording.parking import leave_to_others, park, reason_of
from core.recording.pricing import is_suspended, price
from core.recording.sql.parked_events import find_parked, with_parked
from core.recording.work import Settled, Work
from core.rejection import Reason, Rejection
from core.settings.model import BillingSettings


def settle(work: Work, deliveries: list[Delivery]) -> Settled:
    """Decides the outcome of every delivery and writes all but the dead letters.

    Raises:
        BadData: the database refused one of them; nothing of it may be committed.
        StorageUnavailable: an event was parked or released by somebody else in this moment; try again.
    """
    readable = [d for d in deliveries if d.event is not None and d.rejection is None]
    groups = by_key(readable)
    mandates = meet(work, (key[0] for key in groups))
    doubtful = price(work, readable, mandates.unknown)
    found = find_accounts_of(work, {group[0].holder for key, group in groups.items() if key[0] in mandates.settings}, mandates.settings)
    stored = _seen_before(work, groups, mandates, doubtful, found)
    new = _first_of_each(groups, stored, doubtful, work.config.lateness_days)
    reasons = _why_parked(new, mandates) if mandates.unknown or doubtful else {}
    to_record = {key: delivery for key, delivery in new.items() if key not in reasons} if reasons else new
    settings = settings_of(work, mandates, {key[0] for key in to_record})
    holders = open_accounts_of(work, {delivery.holder for delivery in to_record.values()}, settings, found)
    if work.kind is BatchKind.RELEASE:
        leave_to_others(work, deliveries, mandates.unknown, stored)
        groups = by_key([d for d in readable if not d.left])
        to_record = {key: delivery for key, delivery in to_record.items() if not delivery.left}
    else:
        stored |= park(work, groups, {key: new[key] for key in reasons}, reasons)
    settled = _record(work, groups, to_record, holders, settings, stored)
    compare(work, groups, stored)
    return settled


def settle_isolating(work: Work, deliveries: list[Delivery]) -> Settled:
    """As `settle`, but for what the database refuses: that is rejected as `data_error`, everything else settled in the same transaction.

    What is refused is found first, in trials that are taken back with their locks, so that the others take theirs in the order of all.
    """
    for delivery, error in _refused(work, [d for d in deliveries if d.rejection is None]):
        delivery.reject(Rejection(Reason.DATA_ERROR, error))
    try:
        with savepoint(work.connection):
            return settle(work, deliveries)
    except BadData:
        _forget(deliveries)
        return _settle_in_halves(work, deliveries)


def _refused(work: Work, deliveries: list[Delivery]) -> list[tuple[Delivery, str]]:
    """The deliveries that the database refuses by themselves, and why; nothing is settled."""
    error = _trial(work, deliveries)
    if error is None:
        return []
    if len(deliveries) == 1:
        return [(deliveries[0], error)]
    half = len(deliveries) // 2
    return _refused(work, deliveries[:half]) + _refused(work, deliveries[half:])


class _TakenBack(Exception):
    """A trial is over."""


def _trial(work: Work, deliveries: list[Delivery]) -> str | None:
    """Why the database refuses these deliveries together, if it does; either way nothing of it stays."""
    try:
        with suppress(_TakenBack), savepoint(work.connection):
            settle(work, deliveries)
            raise _TakenBack
    except BadData as error:
        return one_line(str(error))
    finally:
        _forget(deliveries)
    return None


def _forget(deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        delivery.undecided()


def _settle_in_halves(work: Work, deliveries: list[Delivery]) -> Settled:
    """Where the database refuses only several together: the batch is halved around them until one that is refused after the others stands alone."""
    try:
        with savepoint(work.connection):
            return settle(work, deliveries)
    except BadData as error:
        _forget(deliveries)
        if len(deliveries) == 1:
            if work.kind is not BatchKind.RELEASE or leave_to_others(work, deliveries):
                deliveries[0].reject(Rejection(Reason.DATA_ERROR, one_line(str(error))))
            return Settled()
    half = len(deliveries) // 2
    return Settled().add([_settle_in_halves(work, deliveries[:half]), _settle_in_halves(work, deliveries[half:])])


def _why_parked(new: dict[EventKey, Delivery], mandates: Mandates) -> dict[EventKey, str]:
    """Of the new events those that are parked: their mandate isn't known, or it pays computed prices and they have none."""
    unknown = {key: mandates.unknown[key[0]] for key in new if key[0] in mandates.unknown}
    return unknown | {key: reason_of(delivery) for key, delivery in new.items() if is_suspended(delivery)}


def _seen_before(work: Work, groups: Groups, mandates: Mandates, doubtful: set[EventKey], found: Found) -> dict[EventKey, StoredHash]:
    """What is parked under these keys, and what is recorded under those that may not be new: some open an account, some are `doubtful`."""
    stored: dict[EventKey, StoredHash] = {}
    in_car_park = [key for key in groups if key[0] in mandates.with_parked or key[0] not in mandates.settings]
    if in_car_park and work.kind is not BatchKind.RELEASE:
        stored = {key: parked.stored_hash for key, parked in find_parked(work.connection, in_car_park).items()}
    perhaps_known = [key for key, group in groups.items() if group[0].holder not in found.accounts or key in doubtful]
    return find_keys(work.connection, perhaps_known) | stored if perhaps_known else stored


def _first_of_each(groups: Groups, stored: dict[EventKey, StoredHash], doubtful: set[EventKey], lateness_days: int) -> dict[EventKey, Delivery]:
    """The first acceptable delivery of each key that is new. What comes before it, untimely or without the price that is billed, is rejected."""
    new = {key: group[0] for key, group in groups.items() if key not in stored}
    for key in [key for key in new if key in doubtful]:
        first = None
        for delivery in groups[key]:
            if delivery.acceptable:
                first = first or delivery
            elif first is None or delivery.untimely:  # what has no price to bill, and comes after one that has, is compared with it
                delivery.refuse(lateness_days)
        if first is None:
            del new[key]
        else:
            new[key] = first
    return new


def _record(
    work: Work,
    groups: Groups,
    new: dict[EventKey, Delivery],
    holders: Holders,
    settings: dict[str, BillingSettings],
    stored: dict[EventKey, StoredHash],
) -> Settled:
    """Records those of `new` whose key nobody else claims first; what stands under the keys is added to `stored` where it is asked for."""
    if not new:
        return Settled([], holders.learned)
    priced = dict(zip(new, _billed(work, new.values()), strict=True))
    won = claim_keys(work.connection, [(key, d.payload_hash, d.hash_version) for key, d in new.items()])
    if len(won) < len(new):
        stored |= find_keys(work.connection, [key for key in new if key not in won])
    if work.kind is not BatchKind.RELEASE:
        _require_unparked(work, won)
    debits = []
    user_pays = {m for m, own in settings.items() if own.billing_model is BillingModel.PREPAY_USER}
    pools = {m: holders.accounts.get((m, None)) for m, own in settings.items() if own.billing_model.pool_pays}
    for key, transaction_id in won.items():
        first, mandate_id = new[key], key[0]
        event, first.outcome = first.event, Outcome.RECORDED
        assert event is not None
        if len(groups[key]) > 1:
            stored[key] = first.stored_hash
        account_id = holders.accounts[mandate_id, event.user_id]
        payer = account_id if mandate_id in user_pays else pools.get(mandate_id)
        own = priced[key]
        amount = event.price_chf if own is None else own.amount
        assert amount is not None
        debits.append(UsageDebit(transaction_id, event, account_id, payer, settings[mandate_id], amount, own))
    captured, crossed, reached = Captured(), list[BalanceAlert](), list[CapAlert]()
    if debits:
        caps = caps_of(work.connection, settings.values(), work.known_accounts)
        captured = _captured(work, debits, new, counted=bool(caps))
        days = insert_usage(work.connection, debits, work.batch.id, told=bool(caps))
        crossed = debit_balances(work, debits, settings, captured.taken)
        if caps:
            reached = count_in_caps(work, caps, debits, days, captured.taken)
    unknown_users = sum((d.event.mandate_id, d.event.user_id) in holders.unknown for d in debits)
    ids = [d.id for d in debits]
    return Settled(ids, holders.learned, unknown_users, hold_events=captured.events, balance_alerts=crossed, cap_alerts=reached)


def _captured(work: Work, debits: list[UsageDebit], new: dict[EventKey, Delivery], *, counted: bool) -> Captured:
    """What the debits take of holds, each as it came."""
    if all(debit.event.call is None or debit.event.call.hold_key is None for debit in debits):
        return Captured()
    by_event = {(debit.event.mandate_id, debit.event.event_id): debit for debit in debits}
    came = [(by_event[key], delivery.parked_at) for key, delivery in new.items() if key in by_event]
    return capture(work.connection, came, work.hold_clock or work.batch.started_at, counted=counted)


def _billed(work: Work, deliveries: Collection[Delivery]) -> list[Priced | None]:
    if all(delivery.pricing is None for delivery in deliveries):
        return [None] * len(deliveries)
    events = [delivery.event for delivery in deliveries if delivery.event is not None]
    return billed(work.connection, events, [delivery.pricing for delivery in deliveries])


def _require_unparked(work: Work, keys: Collection[EventKey]) -> None:
    """Returns if none of the keys just claimed is parked, as it might be by somebody to whom its mandate became known later.

    Raises:
        StorageUnavailable: one is; tried again, it will be found.
    """
    mandate_ids = with_parked(work.connection, {mandate_id for mandate_id, _ in keys})
    if mandate_ids and find_parked(work.connection, [key for key in keys if key[0] in mandate_ids]):
        raise StorageUnavailable("an event was parked in this moment")
