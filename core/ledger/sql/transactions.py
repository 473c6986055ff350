"""SQL of transactions: immutable ledger entries, only ever inserted."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, TextClause, text

from core.database.event_columns import CALL_COLUMNS, EVENT_COLUMNS, KINDS, event_columns, event_of
from core.database.packing import packed, packed_times, unpacked_rows
from core.database.zones import local_day
from core.events.model import CALL_FIELDS, TOKEN_KINDS, CallFacts, UsageEvent
from core.ledger.kinds import USAGE
from core.ledger.priced import Priced
from core.ledger.sql.event_keys import StoredHash
from core.ledger.sql.usage_shapes import keep_usage
from core.money import ZERO
from core.settings.model import BillingSettings

# What an entry adds to the balance that it moves: only a DEBIT takes off, an ADJUSTMENT carries its own sign.
DELTA = "CASE transaction_type WHEN 'DEBIT' THEN -amount ELSE amount END"

# What recording finds out about an event, and what the event says itself.
_FOUND_KINDS = {"id": "bigint", "account_id": "bigint", "balance_account_id": "bigint", "settings_version": "int", "amount": "numeric"}
_USAGE_COLUMNS = (*_FOUND_KINDS, *EVENT_COLUMNS, *TOKEN_KINDS)
_OBJECT_KINDS = {"usage_shape": "int", "usage_values": "text", "price_given": "numeric"}
PRICED_COLUMNS = {  # what `Priced` has beside the amount: column -> its kind, and the field
    "stamp_id": ("bigint", "stamp_id"),
    "price_computed": ("numeric", "computed"),
    "provider_cost": ("numeric", "provider_cost"),
    "provider_currency": ("text", "provider_currency"),
    "leaves": ("text", "leaves"),
    "unpriced": ("text", "unpriced"),
}
_PRICED_KINDS = {name: kind for name, (kind, _) in PRICED_COLUMNS.items()}
_KINDS = {**_FOUND_KINDS, **KINDS, **CALL_COLUMNS, **_OBJECT_KINDS, **_PRICED_KINDS}
_SAID = {name: attrgetter(field) for name, field in EVENT_COLUMNS.items()}
_COUNTED = {name: attrgetter(name) for name in TOKEN_KINDS}
_NOTHING_TOLD = CallFacts()
_values = msgspec.structs.astuple

_VALUES = {"description": f"coalesce(d.description, '{USAGE.description}')"}


# The local day is taken here, once and for ever: what a zone means later must not move an entry to another day.
@lru_cache(maxsize=256)
def _record(*more: str, told: bool = False) -> TextClause:
    """The statement that writes usage, with the columns that any event of the batch needs `more` than one of version 1 as it was given.

    Where it is to be `told`, it gives the local day of each entry back.
    """
    columns = (*_USAGE_COLUMNS, *more)
    written = f"""
    INSERT INTO transactions ({", ".join(columns)}, transaction_type, reference_type, recorded_at, local_date, batch_id)
    SELECT {", ".join(_VALUES.get(name, f"d.{name}") for name in columns)},
           '{USAGE.transaction_type}', '{USAGE.reference_type}', now(), {local_day("d.occurred_at", "d.time_zone")}, :batch_id
      FROM {unpacked_rows({name: _KINDS.get(name, "text") for name in (*columns, "time_zone")})} AS d
     WHERE d.id IS NOT NULL
    """
    return text(_TELL.format(written=written) if told else written)


_TELL = "WITH written AS ({written} RETURNING id, local_date) SELECT local_date, array_agg(id) AS ids FROM written GROUP BY local_date"
_NEXT_IDS = text("SELECT nextval('transactions_id_seq') FROM generate_series(1, :count)")

_USAGE_OF = text(f"""
    SELECT {event_columns("t")}
      FROM unnest(CAST(:ids AS bigint[]), CAST(:recorded_at AS timestamptz[])) AS wanted(id, recorded_at)
      JOIN transactions t ON t.id = wanted.id AND t.recorded_at = wanted.recorded_at
""")


class UsageDebit(msgspec.Struct, frozen=True, gc=False):
    """A usage event with what recording found out about it."""

    id: int
    event: UsageEvent
    account_id: int
    balance_account_id: int | None
    settings: BillingSettings
    amount: Decimal
    priced: Priced | None = None  # None: an event of version 1, billed what was given


def next_transaction_ids(connection: Connection, count: int) -> list[int]:
    """So many ids of transactions to come, ascending."""
    return sorted(connection.execute(_NEXT_IDS, {"count": count}).scalars())


def insert_usage(connection: Connection, debits: Sequence[UsageDebit], batch_id: int, *, told: bool = False) -> dict[int, date]:
    """Writes one DEBIT per usage event, under the ids that its key was claimed with; the local day of each where that is to be `told`."""
    events = [d.event for d in debits]
    usages = [e.usage for e in events]
    values: dict[str, Sequence[object]] = {
        "id": [d.id for d in debits],
        "account_id": [d.account_id for d in debits],
        "balance_account_id": [d.balance_account_id for d in debits],
        "settings_version": [d.settings.version for d in debits],
        "time_zone": [d.settings.time_zone for d in debits],
        "amount": [d.amount for d in debits],
    }
    columns = {name: packed(column) for name, column in values.items()}
    columns |= {name: packed(map(said, events)) for name, said in _SAID.items() if name != "occurred_at"}
    columns |= {name: packed(map(counted, usages)) for name, counted in _COUNTED.items()}
    columns["occurred_at"] = packed_times([e.occurred_at for e in events])
    more = {} if all(d.priced is None for d in debits) else _priced_columns(connection, debits)
    written = connection.execute(_record(*more, told=told), {**columns, **more, "batch_id": batch_id})
    return {entry_id: day for day, ids in written for entry_id in ids} if told else {}


def _priced_columns(connection: Connection, debits: Sequence[UsageDebit]) -> dict[str, str]:
    """What any of the events of a batch has of a call and its usage object, and how the debits were priced; a column that none has is left out."""
    events = [d.event for d in debits]
    shapes, values = keep_usage(connection, [e.raw_usage for e in events])
    told = dict(zip(CALL_FIELDS, zip(*[_values(e.call or _NOTHING_TOLD) for e in events], strict=True), strict=True))
    costs = told.pop("reported_cost")
    as_given = Priced(ZERO)
    priced = zip(*[_values(d.priced or as_given) for d in debits], strict=True)
    columns: dict[str, Sequence[object]] = {
        **told,
        "reported_amount": [None if cost is None else cost.amount for cost in costs],
        "reported_currency": [None if cost is None else cost.currency for cost in costs],
        "usage_shape": shapes,
        "usage_values": values,
        "price_given": [None if d.priced is None else d.event.price_chf for d in debits],
        **dict(zip(PRICED_COLUMNS, list(priced)[1:], strict=True)),
    }
    return {name: packed(column) for name, column in columns.items() if column.count(None) < len(column)}


def recorded_events(connection: Connection, keys: Sequence[StoredHash]) -> dict[tuple[str, str], UsageEvent]:
    """Recorded usage by (mandate, event): what is billed of it, and the source."""
    rows = connection.execute(_USAGE_OF, {"ids": [k.transaction_id for k in keys], "recorded_at": [k.recorded_at for k in keys]}).mappings()
    return {(row["mandate_id"], row["event_id"]): replace(event_of(row), description=None) for row in rows}
