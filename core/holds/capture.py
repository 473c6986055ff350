"""Capture: a usage event takes what it used of the hold that it names, in the transaction of its debit."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from core.errors import StorageUnavailable
from core.holds.sql.capture import Taken, Use, take_from_holds, write_captured
from core.ledger.sql.transactions import UsageDebit
from core.money import ZERO

Came = tuple[UsageDebit, datetime | None]  # a debit, and when its event came, where it was parked since

HOW = ("captured", "over_hold", "after_final", "late", "without_hold", "other_user")  # what an event can be to the hold that it names


@dataclass(frozen=True, slots=True)
class Captured:
    """What usage took of holds.

    Attributes:
        taken: each use of a hold by its user, and what came of it.
        events: of the events that named a hold, how many were what, for metrics.
    """

    taken: list[tuple[Use, Taken]] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)


def capture(connection: Connection, debits: Iterable[Came], now: datetime, *, counted: bool = False) -> Captured:
    """Lets each debit take from the hold that its event names: at most what the hold has left; a final event gives the rest back.

    The debit itself is recorded in any case, over the hold, late or without one. What is freed is still to be taken off `held` of the
    accounts, and off the counters of caps, in this transaction. Called once for the debits that are new, a replay captures nothing.

    Args:
        connection: of the transaction that has claimed the events' keys, and locked no account yet.
        debits: in the order in which they came.
        now: the time by which holds end.
        counted: whether what caps look at is told of each hold.

    Raises:
        StorageUnavailable: a hold came and went in this moment; try again.
    """
    captured = Captured()
    for uses in _rounds(debits):
        _capture(connection, uses, now, captured, counted=counted)
    return captured


def _capture(connection: Connection, uses: list[Use], now: datetime, captured: Captured, *, counted: bool) -> None:
    """Captures uses of different holds, in their order; where there is no hold one is written that says what came."""
    taken = take_from_holds(connection, uses, now, counted=counted)
    if len(taken) < len(uses):
        found = {one.place for _, one in taken}
        absent = [use for place, use in enumerate(uses) if place not in found]
        written = write_captured(connection, absent, now)
        captured.events["without_hold"] += sum(use.use_count for use in absent if (use.mandate_id, use.hold_key) in written)
        come = [use for use in absent if (use.mandate_id, use.hold_key) not in written]  # authorised, or used by others, in this moment
        taken += take_from_holds(connection, come, now, counted=counted) if come else []
        if len(taken) + len(written) < len(uses):
            raise StorageUnavailable("a hold came and went in this moment")
    own = [(use, one) for use, one in taken if one.is_own]
    captured.taken.extend(own)
    late = sum(use.use_count for use, one in own if not one.is_live)
    after_final = sum(use.after_final for use, one in own if one.is_live)
    captured.events.update(
        captured=sum(use.use_count for use, _ in own) - late - after_final,
        after_final=after_final,
        over_hold=sum(one.is_live and one.is_over for _, one in own),
        late=late,
        other_user=sum(use.use_count for use, one in taken if not one.is_own),
    )


def _rounds(debits: Iterable[Came]) -> Iterator[list[Use]]:
    """What is used of each hold, in the order in which holds are locked: what is of several users, or came at several times, one by one."""
    holds: dict[tuple[str, str], list[list[Came]]] = {}
    for one in debits:
        event, came_at = one[0].event, one[1]
        if event.call is not None and event.call.hold_key is not None:
            key = event.mandate_id, event.call.hold_key
            runs = holds.get(key)
            if runs is None:
                holds[key] = [[one]]
            elif (runs[-1][0][0].event.user_id, runs[-1][0][1]) == (event.user_id, came_at):
                runs[-1].append(one)
            else:
                runs.append([one])
    keys = sorted(holds)
    for n in range(max(map(len, holds.values()), default=0)):
        yield [_use(*key, holds[key][n]) for key in keys if len(holds[key]) > n]


def _use(mandate_id: str, hold_key: str, came: list[Came]) -> Use:
    """What the debits take together; nearly always there is one."""
    first, came_at = came[0]
    if len(came) == 1:
        stays = first.event.call is not None and first.event.call.hold_final is False
        return Use(mandate_id, hold_key, first.event.user_id, first, first.id, first.amount, stays, first.amount, 1, 0, came_at)
    debits = [debit for debit, _ in came]
    finals = [n for n, debit in enumerate(debits) if debit.event.call is not None and debit.event.call.hold_final is not False]
    last = finals[0] if finals else len(debits) - 1
    used = sum((debit.amount for debit in debits), ZERO)
    taken = sum((debit.amount for debit in debits[: last + 1]), ZERO)
    settles = debits[last if finals else 0].id
    after_final = len(debits) - last - 1
    return Use(mandate_id, hold_key, first.event.user_id, first, settles, taken, not finals, used, len(debits), after_final, came_at)
