"""The body of a recording transaction: every delivery gets its one outcome.

The order of locks is the same everywhere: mandates, accounts opened, event keys, balances, parked events, dead letters,
and within each kind sorted, so that two batches never wait for each other in a circle.
"""

from core.domain.billing import BillingModel
from core.domain.outcome import Outcome
from core.domain.payload import HASH_VERSION
from core.domain.rejection import Reason, Rejection, one_line
from core.errors import BadData
from core.operations.recording.balances import debit_balances
from core.operations.recording.conflicts import compare
from core.operations.recording.delivery import Delivery, Groups, by_key, too_late
from core.operations.recording.holders import open_holders
from core.operations.recording.mandates import Mandates, admit
from core.operations.recording.parking import park
from core.operations.recording.work import Settled, Work
from core.storage.database import savepoint
from core.storage.event_keys import EventKey, StoredHash, claim_keys, find_keys
from core.storage.parked_events import find_parked
from core.storage.transactions import UsageDebit, insert_usage


def settle(work: Work, deliveries: list[Delivery]) -> Settled:
    """Decides the outcome of every delivery and writes all but the dead letters.

    Raises:
        BadData: the database refused one of them; nothing of it may be committed.
    """
    readable = [d for d in deliveries if d.event is not None]
    mandates = admit(work, (d.key[0] for d in readable))
    settled = _record(work, by_key([d for d in readable if d.key[0] in mandates.settings]), mandates)
    park(work, by_key([d for d in readable if d.key[0] in mandates.unknown]), mandates.unknown)
    return settled


def settle_isolating(work: Work, deliveries: list[Delivery]) -> Settled:
    """As `settle`, but halves the batch around whatever the database refuses, until the bad delivery stands alone.

    The bad one is rejected as `data_error`; everything else is settled in the same transaction.
    """
    try:
        with savepoint(work.connection):
            return settle(work, deliveries)
    except BadData as error:
        for delivery in deliveries:
            delivery.undecided()
        if len(deliveries) == 1:
            deliveries[0].reject(Rejection(Reason.DATA_ERROR, one_line(str(error))))
            return Settled()
    half = len(deliveries) // 2
    return Settled().add([settle_isolating(work, deliveries[:half]), settle_isolating(work, deliveries[half:])])


def _record(work: Work, groups: Groups, mandates: Mandates) -> Settled:
    """Records the first delivery of each new key; every other one is a duplicate or a conflict."""
    stored = _seen_before(work, groups, mandates)
    new = {key: group[0] for key, group in groups.items() if group and key not in stored}
    if not_met := [key for key, delivery in new.items() if work.known_accounts.get(delivery.holder) is None]:
        stored |= find_keys(work.connection, not_met)  # a conflicting copy must not open an account for whom it names
        new = {key: delivery for key, delivery in new.items() if key not in stored}
    events = [d.event for d in new.values() if d.event is not None]
    holders = open_holders(work, events, mandates.settings)
    won = claim_keys(work.connection, list(new), [d.payload_hash for d in new.values()], HASH_VERSION) if new else {}
    lost = [key for key in new if key not in won]
    if lost:
        stored |= find_keys(work.connection, lost)
    debits = []
    user_pays = {m for m, settings in mandates.settings.items() if settings.billing_model is BillingModel.PREPAY_USER}
    pools = {m: holders.accounts.get((m, None)) for m, settings in mandates.settings.items() if settings.billing_model.pool_pays}
    for key, transaction_id in won.items():
        first, mandate_id = new[key], key[0]
        first.outcome = Outcome.RECORDED
        if len(groups[key]) > 1:
            stored[key] = StoredHash(first.payload_hash, HASH_VERSION)
        assert first.event is not None
        account_id = holders.accounts[mandate_id, first.event.user_id]
        payer = account_id if mandate_id in user_pays else pools.get(mandate_id)
        debits.append(UsageDebit(transaction_id, first.event, account_id, payer, mandates.settings[mandate_id]))
    if debits:
        insert_usage(work.connection, debits, work.batch.id)
        debit_balances(work, debits, mandates.settings)
    compare(work, groups, stored)
    unknown_users = sum((d.event.mandate_id, d.event.user_id) in holders.unknown for d in debits)
    return Settled([d.id for d in debits], holders.learned, unknown_users)


def _seen_before(work: Work, groups: Groups, mandates: Mandates) -> dict[EventKey, StoredHash]:
    """What is parked under these keys or, for events that came late, recorded; a late one nobody saw is rejected."""
    if work.releasing:
        return {}
    in_car_park = [key for key in groups if key[0] in mandates.with_parked]
    stored = {key: parked.stored_hash for key, parked in find_parked(work.connection, in_car_park).items()} if in_car_park else {}
    late = [key for key, group in groups.items() if key not in stored and any(d.late for d in group)]
    if late:
        stored |= find_keys(work.connection, late)
    for key in late:
        if key not in stored:
            for delivery in groups[key]:
                if delivery.late:
                    delivery.reject(too_late(delivery, work.config.lateness_days))
            groups[key] = [d for d in groups[key] if not d.late]
    return stored
