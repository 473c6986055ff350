"""Re-rating: recorded events get the prices that another version of the book has for their own time, under one key."""

from collections.abc import Callable
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.asking.sql import Operation, find_result, keep_result
from core.database.database import Database, allow_time, plan_each_time, transaction_time
from core.errors import Conflict, NotFound, RequestRefused
from core.ledger.hold import locked_accounts, present_settings
from core.ledger.sql.batches import begin_batch
from core.movements.amend import amend
from core.movements.amended_prices import EVENTS_MAX, PriceTotals, source_of
from core.movements.reach import count_active
from core.movements.repricing import Repriced, Repricer, amendments_of
from core.movements.rerating import (
    ALL,
    RERATE,
    RERATE_BEGUN,
    RERATED,
    Delta,
    Reasons,
    Rerated,
    Rerating,
    added,
    deltas_of,
)
from core.movements.revert_prices import Reverting, revert_of
from core.movements.sql.amendments import Amendment, Source, hold_amendments, refunded
from core.movements.sql.rerating import Position, Walk, all_mandates, amended_mandates, deltas_under, others, rated_page
from core.prices.sql.versions import find_version
from core.printable import shown

Told = Callable[[int], None]  # of how many events were looked at so far
REFUNDED = "refunded"
_RERATED: TypeAdapter[Rerated] = TypeAdapter(Rerated)


class Rerater:
    """One re-rating under way: what it has found so far, mandate by mandate and page by page."""

    def __init__(self, database: Database, asked: Rerating, source: Source | None, worker: str, told: Told) -> None:
        """Reads the version; without a source nothing is written."""
        self._database, self._asked, self._source, self._worker, self._told = database, asked, source, worker, told
        self._seen = 0
        self.result = Rerated(asked.version_id)
        with database.snapshot() as connection:
            self._repricer = Repricer(connection, asked.version_id, fx=asked.fx, rules=asked.rules, dialects=asked.dialects)
            self._mandate_ids = [asked.mandate_id] if asked.mandate_id is not None else all_mandates(connection)

    def run(self, until: datetime) -> Rerated:
        """Every mandate's events that were recorded before then."""
        for mandate_id in self._mandate_ids:
            self._mandate(Walk(mandate_id, self._asked.first, self._asked.last, until, self._asked.model))
        return self.result

    def _mandate(self, walk: Walk) -> None:
        reasons, after = Reasons(), None
        planned: dict[tuple[str, str], Delta] = {}
        while True:
            after, changed = self._page(walk, after, reasons)
            for key, delta in changed.items():
                planned[key] = added(planned.get(key), delta)
            if after is None:
                break
        with self._database.snapshot() as connection:
            allow_time(connection)
            for left in others(connection, walk):
                reasons.add(left.reason, left.example, left.events)
            done = deltas_under(connection, walk.mandate_id, RERATE, self._asked.key)
        self.result.deltas += _together(done, planned if self._source is None else {})
        self.result.left += reasons.of(walk.mandate_id)

    def _page(self, walk: Walk, after: Position | None, reasons: Reasons) -> tuple[Position | None, dict[tuple[str, str], Delta]]:
        """Looks at the next events, and amends those that change; returns the place of the last one, if more may come."""
        with self._database.snapshot() if self._source is None else self._database.transaction() as connection:
            plan_each_time(connection)
            settings = present_settings(connection, walk.mandate_id)
            if self._source is not None:
                _refuse_reverted(connection, self._asked.key)
                hold_amendments(connection, walk.mandate_id)
            entries = rated_page(connection, walk, after, EVENTS_MAX)
            judged = self._repricer.judge(connection, entries, reasons)
            self.result.unchanged += judged.unchanged
            amendments = _not_refunded(connection, walk.mandate_id, self._prepared(connection, walk.mandate_id, judged.repriced), reasons)
            if amendments and self._source is not None:
                amend(connection, begin_batch(connection, by_keys_alone=True), amendments, self._source, settings, self._worker)
        self._seen += len(entries)
        self._told(self._seen)
        more = len(entries) == EVENTS_MAX
        return (entries[-1].recorded_at, entries[-1].id) if more else None, deltas_of(amendments)

    def _prepared(self, connection: Connection, mandate_id: str, repriced: list[Repriced]) -> list[Amendment]:
        """The amendments, with their stamps kept and their accounts locked: so nothing of their entries is refunded any more."""
        if self._source is None or not repriced:
            return [one.amendment() for one in repriced]
        amendments = amendments_of(connection, repriced)
        locked_accounts(
            connection,
            mandate_id,
            {i for a in amendments for i in (a.account_id, a.balance_account_id) if i is not None},
        )
        return amendments


def check_rerate(database: Database, actor: Actor, asked: Rerating, progress: Told = lambda _: None) -> Rerated:
    """What `rerate` would come to, with what was done under the key already; nothing is written. The version may be a proposal.

    Raises:
        NotFound: there is no such version, or the mandate has no settings.
    """
    require_root(actor, "re-rate events")
    with database.snapshot() as connection:
        _require_version(connection, asked, accepted=False)
        until = transaction_time(connection)
    return Rerater(database, asked, None, "", progress).run(until)


def rerate(database: Database, actor: Actor, asked: Rerating, *, by: str, worker: str, progress: Told = lambda _: None) -> Rerated:
    """Amends each rated event of these days whose amount or provider cost is another by the version's rows, up to 500 in a transaction.

    Every event is rated at its own time, and the debit that takes the present one's place keeps its local day. What was recorded after
    the key was first used is left to the prices that were active then. After a crash the same call goes on; once it is complete a
    replay does nothing and returns the same result. `revert_rerating` takes all of it back.

    Raises:
        NotFound: there is no such version, or the mandate has no settings.
        Conflict: the key was used for another re-rating, or was reverted.
        RequestRefused: the version isn't accepted, or the key is no name.
        StorageUnavailable: the database can't answer now; what was committed stays, call again.
    """
    require_root(actor, "re-rate events")
    source = source_of(RERATE, asked.key, by)
    with database.transaction() as connection:
        until = _begun(connection, asked, by)
        finished = _finished(connection, asked)
    if finished is not None:
        return finished
    result = Rerater(database, asked, source, worker, progress).run(until)
    with database.transaction() as connection:
        finished = _finished(connection, asked)
        if finished is None:
            keep_result(connection, asked.operation(RERATE), _RERATED.dump_python(result, mode="json"))
    count_active(database, actor)
    return finished or result


def revert_rerating(database: Database, actor: Actor, how: Reverting, progress: Told = lambda _: None) -> list[PriceTotals]:
    """Gives every event that was re-rated under the key back what stood before, as `core.movements.revert_prices.revert_prices`.

    From its first moment on the key is used up, also for a re-rating that wasn't complete.

    Raises:
        NotFound: nothing was re-rated under this key.
    """
    require_root(actor, "revert a re-rating")
    begun = _reverted(how.key)
    with database.transaction() if not how.dry_run else database.snapshot() as connection:
        mandate_ids = amended_mandates(connection, RERATE, how.key)
        if not mandate_ids:
            raise NotFound(f"nothing was re-rated under {shown(how.key)}", field="key", value=how.key)
        if not how.dry_run and find_result(connection, begun) is None:
            keep_result(connection, begun, {"by": how.by})
    with database.snapshot() as connection:  # once more: what was amended until the key was used up
        mandate_ids = amended_mandates(connection, RERATE, how.key)
    reverted = revert_of(database, actor, mandate_ids, how, progress)
    if not how.dry_run:
        count_active(database, actor)
    return reverted


def reverting(key: str, by: str, worker: str, *, dry_run: bool = False) -> Reverting:
    """How a re-rating is reverted."""
    return Reverting(key, by, worker, dry_run, RERATED)


def _begun(connection: Connection, asked: Rerating, by: str) -> datetime:
    """Keeps what the key is used for, and since when: what was recorded before is re-rated."""
    if asked.mandate_id is not None:
        present_settings(connection, asked.mandate_id)
    begun = asked.operation(RERATE_BEGUN)
    known = find_result(connection, begun)
    if known is not None:
        _refuse_reverted(connection, asked.key)
        return datetime.fromisoformat(known["until"])
    _require_version(connection, asked, accepted=True)
    until = transaction_time(connection)
    keep_result(connection, begun, {"until": until.isoformat(), "by": by})
    return until


def _finished(connection: Connection, asked: Rerating) -> Rerated | None:
    kept = find_result(connection, asked.operation(RERATE))
    _refuse_reverted(connection, asked.key)
    return None if kept is None else _RERATED.validate_python({**kept, "repeated": True})


def _refuse_reverted(connection: Connection, key: str) -> None:
    """Whoever reverts waits for what holds the key here, and whoever comes after it finds that it is used up."""
    if find_result(connection, _reverted(key)) is not None:
        raise Conflict(f"{shown(key)} was reverted: re-rate under a new one", field="key", value=key)


def _reverted(key: str) -> Operation:
    return Operation(ALL, RERATED.begun, key, {})


def _require_version(connection: Connection, asked: Rerating, *, accepted: bool) -> None:
    version = find_version(connection, asked.version_id)
    if version is None:
        raise NotFound(f"there is no version {asked.version_id} of the price book", field="version", value=asked.version_id)
    if accepted and version.accepted_at is None:
        raise RequestRefused(
            f"version {asked.version_id} isn't accepted: nothing is rated by it yet",
            field="version",
            value=asked.version_id,
        )


def _not_refunded(connection: Connection, mandate_id: str, amendments: list[Amendment], reasons: Reasons) -> list[Amendment]:
    touched = refunded(connection, mandate_id, [a.entry.id for a in amendments]) if amendments else set()
    for amendment in amendments:
        if amendment.entry.id in touched:
            reasons.add(REFUNDED, amendment.event.event_id)
    return [amendment for amendment in amendments if amendment.entry.id not in touched]


def _together(done: list[Delta], planned: dict[tuple[str, str], Delta]) -> list[Delta]:
    found = {(delta.mandate_id, delta.model): delta for delta in done}
    for key, delta in planned.items():
        found[key] = added(found.get(key), delta)
    return [found[key] for key in sorted(found)]
