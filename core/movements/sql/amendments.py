"""SQL of amendments: which entry of an event is the present one, and the entries that take its place."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from core.database.event_columns import columns, event_columns, event_of
from core.database.locks import Lock, hold_text
from core.events.model import UsageEvent
from core.ledger.priced import Priced
from core.ledger.sql.transactions import PRICED_COLUMNS

ENTRY_COLUMNS = f"""
    t.id, t.recorded_at, t.account_id, t.balance_account_id, t.amount, {columns("t", PRICED_COLUMNS)}, {event_columns("t")}, t.local_date
"""

_PRESENT = text(f"""
    SELECT coalesce(a.number, 0) AS number, {ENTRY_COLUMNS}
      FROM unnest(CAST(:event_ids AS text[])) AS wanted(event_id)
     CROSS JOIN LATERAL (SELECT * FROM event_keys WHERE mandate_id = :mandate_id AND event_id = wanted.event_id OFFSET 0) AS k
      LEFT JOIN LATERAL (SELECT m.number, m.debit_id, m.recorded_at FROM amendments m
                          WHERE m.mandate_id = k.mandate_id AND m.event_id = k.event_id ORDER BY m.number DESC LIMIT 1) AS a ON true
      JOIN transactions t ON t.id = coalesce(a.debit_id, k.transaction_id) AND t.recorded_at = coalesce(a.recorded_at, k.recorded_at)
""")

_UNDER_KEY = text(f"""
    SELECT m.number, {ENTRY_COLUMNS}
      FROM amendments m
      JOIN transactions t ON t.id = m.reversed_id AND t.recorded_at = m.reversed_recorded_at
     WHERE m.mandate_id = :mandate_id AND m.operation = :operation AND m.idempotency_key = :key AND m.event_id COLLATE "C" > :after_event_id
     ORDER BY m.event_id LIMIT :events_max
""")

_DONE = text("""
    SELECT event_id FROM amendments
     WHERE mandate_id = :mandate_id AND operation = :operation AND idempotency_key = :key AND event_id = ANY(:event_ids)
""")

_TOTALS = text("""
    SELECT count(*) AS amended, coalesce(sum(o.amount), 0.000000000) AS before, coalesce(sum(d.amount), 0.000000000) AS after
      FROM amendments m
      JOIN transactions o ON o.id = m.reversed_id AND o.recorded_at = m.reversed_recorded_at
      JOIN transactions d ON d.id = m.debit_id AND d.recorded_at = m.recorded_at
     WHERE m.mandate_id = :mandate_id AND m.operation = :operation AND m.idempotency_key = :key
""")

_REFUNDED = text("SELECT DISTINCT transaction_id FROM refunds WHERE mandate_id = :mandate_id AND transaction_id = ANY(:transaction_ids)")

_DAYS = text("SELECT id, local_date FROM transactions WHERE id = ANY(:ids) AND recorded_at = ANY(:times)")

_LINK = text("""
    INSERT INTO amendments (mandate_id, event_id, number, operation, idempotency_key, reversed_id, reversed_recorded_at, reversal_id, debit_id,
                            recorded_at)
    VALUES (:mandate_id, :event_id, :number, :operation, :key, :reversed_id, :reversed_recorded_at, :reversal_id, :debit_id, now())
""")


@dataclass(frozen=True, slots=True)
class EventEntry:
    """The DEBIT that stands for an event: its usage debit (`number` 0), or the debit of its n-th amendment."""

    number: int
    id: int
    recorded_at: datetime
    account_id: int
    balance_account_id: int | None
    event: UsageEvent
    priced: Priced  # what it bills
    local_date: date


class Amendment(NamedTuple):
    """An event's present entry and what it is to be; `balance_account_id` is whose balance pays for that, `priced` what is billed."""

    entry: EventEntry
    event: UsageEvent
    account_id: int
    balance_account_id: int | None
    priced: Priced


@dataclass(frozen=True, slots=True)
class Source:
    """What asks for amendments: the operation and its key, and who."""

    operation: str
    key: str
    by: str


class Written(NamedTuple):
    """The two entries of one amendment, by their transaction ids."""

    reversal_id: int
    debit_id: int
    recorded_at: datetime


def hold_amendments(connection: Connection, mandate_id: str) -> None:
    """Until the transaction ends nobody else amends events of the mandate. After the mandate and the operation key, before any row."""
    hold_text(connection, Lock.AMENDMENTS, mandate=mandate_id)


def present_entries(connection: Connection, mandate_id: str, event_ids: Collection[str]) -> dict[str, EventEntry]:
    """The present entry of those events that are recorded, by event id."""
    rows = connection.execute(_PRESENT, {"mandate_id": mandate_id, "event_ids": list(event_ids)})
    return {entry.event.event_id: entry for entry in map(entry_of, rows)}


def entries_before(connection: Connection, mandate_id: str, operation: str, key: str, *, after_event_id: str, events_max: int) -> list[EventEntry]:
    """What stood before the amendments under a key, by event id from `after_event_id` on; `number` is that of the amendment."""
    parameters = {"mandate_id": mandate_id, "operation": operation, "key": key, "after_event_id": after_event_id, "events_max": events_max}
    return [entry_of(row) for row in connection.execute(_UNDER_KEY, parameters)]


def amended_under(connection: Connection, mandate_id: str, operation: str, key: str, event_ids: Collection[str]) -> set[str]:
    """Those of the events that were amended by this operation under this key."""
    parameters = {"mandate_id": mandate_id, "operation": operation, "key": key, "event_ids": list(event_ids)}
    return set(connection.execute(_DONE, parameters).scalars())


def totals_under(connection: Connection, mandate_id: str, operation: str, key: str) -> tuple[int, Decimal, Decimal]:
    """How many events were amended under a key, what they cost before and what after, in CHF."""
    row = connection.execute(_TOTALS, {"mandate_id": mandate_id, "operation": operation, "key": key}).one()
    return row.amended, row.before, row.after


def refunded(connection: Connection, mandate_id: str, transaction_ids: Collection[int]) -> set[int]:
    """Those of the transactions of which something was refunded."""
    return set(connection.execute(_REFUNDED, {"mandate_id": mandate_id, "transaction_ids": list(transaction_ids)}).scalars())


def days_of(connection: Connection, written: Sequence[Written]) -> dict[int, date]:
    """The local day of each of the debits, by its id."""
    found = connection.execute(_DAYS, {"ids": [w.debit_id for w in written], "times": list({w.recorded_at for w in written})})
    return {row.id: row.local_date for row in found}


def link_amendments(connection: Connection, amendments: Sequence[Amendment], written: Sequence[Written], source: Source) -> None:
    """Notes of each amendment which entries take the present one's place."""
    connection.execute(_LINK, [_link(a, w, source) for a, w in zip(amendments, written, strict=True)])


def _link(amendment: Amendment, written: Written, source: Source) -> dict[str, object]:
    entry = amendment.entry
    return {
        "mandate_id": entry.event.mandate_id,
        "event_id": entry.event.event_id,
        "number": entry.number + 1,
        "operation": source.operation,
        "key": source.key,
        "reversed_id": entry.id,
        "reversed_recorded_at": entry.recorded_at,
        "reversal_id": written.reversal_id,
        "debit_id": written.debit_id,
    }


def entry_of(row: Row[Any]) -> EventEntry:
    """The entry that a row with `number` and the `ENTRY_COLUMNS` tells of."""
    found = row._mapping  # noqa: SLF001 - public
    priced = Priced(found["amount"], **{field: found[name] for name, (_, field) in PRICED_COLUMNS.items()})
    return EventEntry(row.number, row.id, row.recorded_at, row.account_id, row.balance_account_id, event_of(found), priced, row.local_date)
