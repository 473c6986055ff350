"""Reverting an amendment of prices: each of its events gets back the price that it had before."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.asking.sql import Operation, find_result, keep_result, mandates_with_key
from core.database.database import Database, plan_each_time
from core.errors import NotFound
from core.ledger.hold import present_settings
from core.ledger.sql.batches import begin_batch
from core.movements.amend import amend, refund_in_the_way
from core.movements.amended_prices import AMEND_BEGUN, EVENTS_MAX, PRICES, PriceTotals, Undo, source_of
from core.movements.sql.amendments import Amendment, EventEntry, Source, amended_under, entries_before, hold_amendments, present_entries, refunded
from core.printable import shown


@dataclass(frozen=True, slots=True)
class Reverting:
    """How prices are reverted: under which key they were amended, by whom, whether anything is kept, and what amended them."""

    key: str
    by: str
    worker: str
    dry_run: bool = False
    undo: Undo = PRICES

    @property
    def source(self) -> Source:
        """What the amendments carry."""
        return source_of(self.undo.undone, self.key, self.by)


def revert_prices(database: Database, actor: Actor, how: Reverting, progress: Callable[[int], None] = lambda _: None) -> list[PriceTotals]:
    """Writes the opposite of every amendment under the key, up to 500 in a transaction; returns the totals of what it reverts.

    An event that was amended again or refunded since then is left alone and named. After a crash call it again; a replay
    reverts nothing more. With `dry_run` nothing is written.

    Raises:
        NotFound: no prices were amended under this key.
        StorageUnavailable: the database can't answer now; what was committed stays, call again.
    """
    require_root(actor, "revert prices")
    with database.snapshot() as connection:
        mandate_ids = mandates_with_key(connection, AMEND_BEGUN, how.key)
    if not mandate_ids:
        raise NotFound(f"no prices were amended under {shown(how.key)}", field="key", value=how.key)
    return revert_of(database, actor, mandate_ids, how, progress)


def revert_of(database: Database, actor: Actor, mandate_ids: list[str], how: Reverting, progress: Callable[[int], None]) -> list[PriceTotals]:
    """What was amended of these mandates' events, reverted part by part."""
    require_root(actor, "revert prices")
    results, done = [], 0
    for mandate_id in mandate_ids:
        totals, after_event_id = PriceTotals(mandate_id), ""
        while (last := _revert_part(database, mandate_id, after_event_id, how, totals)) is not None:
            after_event_id = last
            progress(done + totals.events)
        done += totals.events
        results.append(totals)
    return results


def _revert_part(database: Database, mandate_id: str, after_event_id: str, how: Reverting, totals: PriceTotals) -> str | None:
    """Reverts the next events and returns the last one's id; none if there is none left."""
    with database.snapshot() if how.dry_run else database.transaction() as connection:
        plan_each_time(connection)
        settings = present_settings(connection, mandate_id)
        if not how.dry_run:
            begun = Operation(mandate_id, how.undo.begun, how.key, {})
            if find_result(connection, begun) is None:
                keep_result(connection, begun, {"by": how.by})
            hold_amendments(connection, mandate_id)
        before = entries_before(connection, mandate_id, how.undo.done, how.key, after_event_id=after_event_id, events_max=EVENTS_MAX)
        if not before:
            return None
        amendments = _planned(connection, mandate_id, before, how, totals)
        totals.events += len(before)
        totals.add(amendments)
        if amendments and not how.dry_run:
            amend(connection, begin_batch(connection, by_keys_alone=True), amendments, how.source, settings, how.worker)
        return before[-1].event.event_id


def _planned(connection: Connection, mandate_id: str, before: list[EventEntry], how: Reverting, totals: PriceTotals) -> list[Amendment]:
    """What is still to be reverted; what was reverted before counts as unchanged, what can't be reverted is a problem."""
    event_ids = [entry.event.event_id for entry in before]
    reverted = amended_under(connection, mandate_id, how.undo.undone, how.key, event_ids)
    present = present_entries(connection, mandate_id, event_ids)
    touched = refunded(connection, mandate_id, [entry.id for entry in present.values()])
    amendments = []
    for old in before:
        event_id = old.event.event_id
        entry = present[event_id]
        if event_id in reverted:
            totals.unchanged += 1
        elif entry.number != old.number:
            totals.problems.append(f"event_id: event {shown(event_id)} of mandate {shown(mandate_id)} was amended again since then")
        elif entry.id in touched:
            totals.problems.append(str(refund_in_the_way(entry)))
        else:
            amendments.append(Amendment(entry, old.event, old.account_id, old.balance_account_id, old.priced))
    return amendments
