"""The counters of caps as usage and holds move them: folded, so that each counter of a batch is moved once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Connection

from core.caps.model import Caps, CounterKey, Look, Spending, keys_of
from core.caps.sql.alerts import CapAlert, write_cap_alerts
from core.caps.sql.caps import load_caps
from core.caps.sql.counters import change_counters
from core.ledger.opening import KnownAccounts
from core.money import ZERO

_Part = tuple[Spending, date, Decimal]
_Parts = Mapping[str, Sequence[_Part]]  # by mandate


class Capped(Protocol):
    """What of a mandate's settings tells which caps it has."""

    @property
    def mandate_id(self) -> str:
        """Whose."""

    @property
    def caps_token(self) -> UUID | None:
        """Of the caps as they are now; None: it has none."""


class Moved(NamedTuple):
    """What is added to the counters of some usage of a local day, in CHF; either may be negative."""

    spending: Spending
    day: date
    spent: Decimal = ZERO
    held: Decimal = ZERO


def caps_of(connection: Connection, settings: Iterable[Capped], known: KnownAccounts) -> dict[str, Caps]:
    """The caps of those mandates that have any, by mandate; they can't change while the caller shares the mandates.

    Asks the database only for those whose token isn't that of the caps in `known`, and for nothing where there are no caps.

    Args:
        connection: of the transaction that read the settings.
        settings: of the mandates, as they are now.
        known: where caps are remembered by their token.
    """
    tokens = {own.mandate_id: own.caps_token for own in settings if own.caps_token is not None}
    if not tokens:
        return {}
    kept = {mandate_id: known.caps.get(mandate_id) for mandate_id in tokens}  # once: other threads may change or forget it
    caps = {mandate_id: one[1] for mandate_id, one in kept.items() if one is not None and one[0] == tokens[mandate_id]}
    unknown = [mandate_id for mandate_id in tokens if mandate_id not in caps]
    if unknown:
        found = load_caps(connection, unknown)
        known.keep_caps(found)
        caps |= {mandate_id: own for mandate_id, (_, own) in found.items()}
    return caps


def move_counters(connection: Connection, caps: Mapping[str, Caps], moved: Iterable[Moved], batch_id: int | None) -> list[CapAlert]:
    """Moves each counter once, by the sum of what is added to it, and writes an alert for each share that `spent` reaches or leaves.

    Locks the counters in the order of their keys; accounts come before, alerts after. A repetition moves them again: it stands in the
    transaction of what it counts. What is no more held than was counted as held becomes 0.

    Args:
        connection: of the transaction in which the mandates are shared, or held.
        caps: of these mandates; those without caps are left out.
        moved: usage and holds of any mandates.
        batch_id: of the batch that the alerts tell; None: it is none.

    Returns:
        The alerts; those of shares that were reached once before, and left since, are not written again.
    """
    spent, held = _parts(caps, moved)
    more = _by_counter(caps, spent)
    changed = change_counters(connection, more, _by_counter(caps, held))
    of = {cap.id: own for own in caps.values() for cap in own}
    alerts = []
    for key, after in changed:
        own, amount = of[key.cap_id], more.get(key, ZERO)
        if amount and (amount < 0 or after >= own.first_line(key.cap_id)):
            before = after - amount
            alerts += [CapAlert(own.by_id[key.cap_id], key, reached, before, after) for reached in own.reached(key.cap_id, before, after)]
    write_cap_alerts(connection, alerts, batch_id)
    return alerts


def _parts(caps: Mapping[str, Caps], moved: Iterable[Moved]) -> tuple[_Parts, _Parts]:
    """What is spent, and what is held, by mandate."""
    spent, held = defaultdict[str, list[_Part]](list), defaultdict[str, list[_Part]](list)
    for spending, day, more_spent, more_held in moved:
        if spending.mandate_id in caps:
            if more_spent:
                spent[spending.mandate_id].append((spending, day, more_spent))
            if more_held:
                held[spending.mandate_id].append((spending, day, more_held))
    return spent, held


def _by_counter(caps: Mapping[str, Caps], parts: _Parts) -> dict[CounterKey, Decimal]:
    """Amounts added up by counter, those that are none left out. What is alike to several caps is added up once, before they are gone through."""
    folded: dict[CounterKey, Decimal] = {}
    for mandate_id, own in parts.items():
        for look in caps[mandate_id].looks:
            for (user_id, value, day), amount in _alike(look, own).items():
                for key in keys_of(look.at(user_id, value), user_id, day):
                    folded[key] = folded[key] + amount if key in folded else amount
    return {key: amount for key, amount in folded.items() if amount}


def _alike(look: Look, parts: Sequence[_Part]) -> dict[tuple[str, str | None, date], Decimal]:
    """Amounts added up by what these caps look at: the user (empty if they don't), the value, and the day."""
    by_user, place, _ = look
    alike: dict[tuple[str, str | None, date], Decimal] = {}
    for spending, day, amount in parts:
        what = spending.user_id if by_user else "", "" if place is None else spending[place], day
        alike[what] = alike[what] + amount if what in alike else amount
    return alike
