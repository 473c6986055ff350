"""SQL of transactions: immutable ledger entries, only ever inserted."""

from collections.abc import Sequence
from operator import attrgetter

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, text

from core.database.event_columns import EVENT_COLUMNS, KINDS, event_columns, event_of
from core.database.packing import packed, packed_times, unpacked_rows
from core.database.zones import local_day
from core.events.model import TOKEN_KINDS, UsageEvent
from core.ledger.kinds import USAGE
from core.ledger.sql.event_keys import StoredHash
from core.settings.model import BillingSettings

# What an entry adds to the balance that it moves: only a DEBIT takes off, an ADJUSTMENT carries its own sign.
DELTA = "CASE transaction_type WHEN 'DEBIT' THEN -amount ELSE amount END"

# What recording finds out about an event, and what the event says itself.
_FOUND_KINDS = {"id": "bigint", "account_id": "bigint", "balance_account_id": "bigint", "settings_version": "int"}
_USAGE_COLUMNS = (*_FOUND_KINDS, *EVENT_COLUMNS, *TOKEN_KINDS)
_KINDS = {**_FOUND_KINDS, **KINDS}
_SAID = {name: attrgetter(field) for name, field in EVENT_COLUMNS.items()}
_COUNTED = {name: attrgetter(name) for name in TOKEN_KINDS}

_VALUES = {"description": f"coalesce(d.description, '{USAGE.description}')"}

# The local day is taken here, once and for ever: what a zone means later must not move an entry to another day.
_RECORD_USAGE = text(f"""
    INSERT INTO transactions ({", ".join(_USAGE_COLUMNS)}, transaction_type, reference_type, recorded_at, local_date, batch_id)
    SELECT {", ".join(_VALUES.get(name, f"d.{name}") for name in _USAGE_COLUMNS)},
           '{USAGE.transaction_type}', '{USAGE.reference_type}', now(), {local_day("d.occurred_at", "d.time_zone")}, :batch_id
      FROM {unpacked_rows({name: _KINDS.get(name, "text") for name in (*_USAGE_COLUMNS, "time_zone")})} AS d
     WHERE d.id IS NOT NULL
""")

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


def next_transaction_ids(connection: Connection, count: int) -> list[int]:
    """So many ids of transactions to come, ascending."""
    return sorted(connection.execute(_NEXT_IDS, {"count": count}).scalars())


def insert_usage(connection: Connection, debits: Sequence[UsageDebit], batch_id: int) -> None:
    """Writes one DEBIT per usage event, under the ids that its key was claimed with."""
    events = [d.event for d in debits]
    usages = [e.usage for e in events]
    values: dict[str, Sequence[object]] = {
        "id": [d.id for d in debits],
        "account_id": [d.account_id for d in debits],
        "balance_account_id": [d.balance_account_id for d in debits],
        "settings_version": [d.settings.version for d in debits],
        "time_zone": [d.settings.time_zone for d in debits],
    }
    columns = {name: packed(column) for name, column in values.items()}
    columns |= {name: packed(map(said, events)) for name, said in _SAID.items() if name != "occurred_at"}
    columns |= {name: packed(map(counted, usages)) for name, counted in _COUNTED.items()}
    occurred_at = packed_times([e.occurred_at for e in events])
    connection.execute(_RECORD_USAGE, {**columns, "occurred_at": occurred_at, "batch_id": batch_id})


def recorded_events(connection: Connection, keys: Sequence[StoredHash]) -> dict[tuple[str, str], UsageEvent]:
    """Recorded usage by (mandate, event): what is billed of it, and the source."""
    rows = connection.execute(_USAGE_OF, {"ids": [k.transaction_id for k in keys], "recorded_at": [k.recorded_at for k in keys]}).mappings()
    return {(row["mandate_id"], row["event_id"]): replace(event_of(row), description=None) for row in rows}
