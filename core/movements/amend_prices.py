"""Amending prices: a wrongly priced day is set right, event by event, under one key."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.asking.sql import Operation, find_result, keep_result
from core.database.database import Database, plan_each_time
from core.errors import Conflict, RequestRefused
from core.ledger.hold import present_settings
from core.ledger.sql.batches import begin_batch
from core.movements.amend import amend
from core.movements.amended_prices import AMEND, AMEND_BEGUN, REVERT_BEGUN, MandatePrices, PriceTotals, by_mandate, planned, source_of
from core.movements.new_price import NewPrice
from core.movements.sql.amendments import Source, hold_amendments, totals_under
from core.printable import shown

Told = Callable[[int], None]  # of how many events are done so far


def check_prices(database: Database, actor: Actor, prices: Sequence[NewPrice], *, key: str, progress: Told = lambda _: None) -> list[PriceTotals]:
    """What `amend_prices` would come to, mandate by mandate, with everything that stands in its way; nothing is written.

    Raises:
        RequestRefused: an event is named twice, or there are too many.
    """
    require_root(actor, "amend prices")
    checked, done = [], 0
    for own in by_mandate(prices):
        totals = PriceTotals(own.mandate_id, len(own.prices))
        for part in own.parts():
            with database.snapshot() as connection:
                totals.add(planned(connection, own.mandate_id, part, key, totals))
            done += len(part)
            progress(done)
        with database.snapshot() as connection:
            amended, before, after = totals_under(connection, own.mandate_id, AMEND, key)
        totals.amended, totals.before, totals.after = totals.amended + amended, totals.before + before, totals.after + after
        checked.append(totals)
    return checked


def amend_prices(
    database: Database, actor: Actor, prices: Sequence[NewPrice], *, key: str, by: str, worker: str, progress: Told = lambda _: None
) -> list[PriceTotals]:
    """Amends each event to its new price, up to 500 of one mandate in a transaction; returns the totals of the key.

    After a crash the same call goes on where it stopped; once it is complete a replay does nothing and returns the same totals.
    `revert_prices` takes all of it back. Ask `check_prices` first: what stands in the way stops it half way.

    Raises:
        NotFound: a mandate has no settings.
        Conflict: the key was used for other prices, or was reverted.
        RequestRefused: the key is no name, an event isn't recorded, has refunds or is named twice; what was committed stays.
        StorageUnavailable: the database can't answer now; call again.
    """
    require_root(actor, "amend prices")
    results, done = [], 0
    source, mandates = source_of(AMEND, key, by), by_mandate(prices)
    for own in mandates:  # of all of them before the first part: a revert in between sees, and stops, every one
        with database.transaction() as connection:
            present_settings(connection, own.mandate_id)
            _begin(connection, own, key)
    for own in mandates:
        finished = _finished(database, own, key)
        for part in own.parts() if finished is None else ():
            _amend_part(database, own, part, source, worker)
            done += len(part)
            progress(done)
        results.append(_finish(database, own, key) if finished is None else finished)
    return results


def _amend_part(database: Database, own: MandatePrices, part: Sequence[NewPrice], source: Source, worker: str) -> None:
    with database.transaction() as connection:
        plan_each_time(connection)
        settings = present_settings(connection, own.mandate_id)
        _begin(connection, own, source.key)
        hold_amendments(connection, own.mandate_id)
        totals = PriceTotals(own.mandate_id)
        amendments = planned(connection, own.mandate_id, part, source.key, totals)
        if totals.problems:
            raise RequestRefused(totals.problems[0])
        if amendments:
            amend(connection, begin_batch(connection, by_keys_alone=True), amendments, source, settings, worker)


def _begin(connection: Connection, own: MandatePrices, key: str) -> None:
    """Keeps what the key is used for, from the first part on; a key that was reverted is used up."""
    begun = own.operation(AMEND_BEGUN, key)
    if find_result(connection, begun) is None:
        keep_result(connection, begun, {})
    _refuse_reverted(connection, own, key)


def _refuse_reverted(connection: Connection, own: MandatePrices, key: str) -> None:
    if find_result(connection, Operation(own.mandate_id, REVERT_BEGUN, key, {})) is not None:
        raise Conflict(f"{shown(key)} was reverted for mandate {shown(own.mandate_id)}: amend under a new one", field="key", value=key)


def _finished(database: Database, own: MandatePrices, key: str) -> PriceTotals | None:
    """The totals of the key for this mandate, if it was completed before."""
    with database.transaction() as connection:
        present_settings(connection, own.mandate_id)
        if find_result(connection, own.operation(AMEND, key)) is None:
            return None
        _refuse_reverted(connection, own, key)
        return _totals(connection, own, key, repeated=True)


def _finish(database: Database, own: MandatePrices, key: str) -> PriceTotals:
    """Keeps that the key is complete: from now on a replay amends nothing, whatever happens to the events."""
    with database.transaction() as connection:
        present_settings(connection, own.mandate_id)
        _refuse_reverted(connection, own, key)
        complete = own.operation(AMEND, key)
        if find_result(connection, complete) is None:
            keep_result(connection, complete, {})
        return _totals(connection, own, key, repeated=False)


def _totals(connection: Connection, own: MandatePrices, key: str, *, repeated: bool) -> PriceTotals:
    amended, before, after = totals_under(connection, own.mandate_id, AMEND, key)
    return PriceTotals(own.mandate_id, len(own.prices), amended, len(own.prices) - amended, before, after, repeated)
