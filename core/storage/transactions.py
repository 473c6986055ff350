"""SQL of transactions: immutable ledger entries, only ever inserted."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.domain.kinds import USAGE
from core.domain.settings import BillingSettings
from core.domain.usage_event import TokenUsage, UsageEvent
from core.storage.event_keys import StoredHash
from core.storage.packing import packed, packed_times, unpacked
from core.storage.zones import local_day

# What an entry adds to the balance that it moves: only a DEBIT takes off, an ADJUSTMENT carries its own sign.
DELTA = "CASE transaction_type WHEN 'DEBIT' THEN -amount ELSE amount END"

_USAGE_COLUMNS = {
    "id": "bigint",
    "mandate_id": "text",
    "event_id": "text",
    "account_id": "bigint",
    "balance_account_id": "bigint",
    "amount": "numeric",
    "description": "text",
    "workflow_id": "text",
    "feature_instance_id": "text",
    "feature_code": "text",
    "provider": "text",
    "model": "text",
    "input_tokens": "bigint",
    "output_tokens": "bigint",
    "cached_input_tokens": "bigint",
    "cache_write_tokens": "bigint",
    "reasoning_tokens": "bigint",
    "created_by_user_id": "text",
    "occurred_at": "timestamptz",
    "settings_version": "int",
    "source": "text",
}

_VALUES = {"description": f"coalesce(d.description, '{USAGE.description}')"}

# The local day is taken here, once and for ever: what a zone means later must not move an entry to another day.
_RECORD_USAGE = text(f"""
    INSERT INTO transactions ({", ".join(_USAGE_COLUMNS)}, transaction_type, reference_type, recorded_at, local_date, batch_id)
    SELECT {", ".join(_VALUES.get(name, f"d.{name}") for name in _USAGE_COLUMNS)},
           '{USAGE.transaction_type}', '{USAGE.reference_type}', now(), {local_day("d.occurred_at", "d.time_zone")}, :batch_id
      FROM unnest({", ".join(unpacked(name, kind) for name, kind in _USAGE_COLUMNS.items())}, {unpacked("time_zone")})
           AS d({", ".join(_USAGE_COLUMNS)}, time_zone)
     WHERE d.id IS NOT NULL
""")

_NEXT_IDS = text("SELECT nextval('transactions_id_seq') FROM generate_series(1, :count)")

_USAGE_OF = text("""
    SELECT t.mandate_id, t.event_id, t.created_by_user_id AS user_id, t.provider, t.model, t.feature_code, t.feature_instance_id, t.workflow_id,
           t.amount AS price_chf, t.occurred_at, t.input_tokens, t.output_tokens, t.cached_input_tokens, t.cache_write_tokens, t.reasoning_tokens,
           t.source
      FROM unnest(CAST(:ids AS bigint[]), CAST(:recorded_at AS timestamptz[])) AS wanted(id, recorded_at)
      JOIN transactions t ON t.id = wanted.id AND t.recorded_at = wanted.recorded_at
""")

_TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


class UsageDebit(NamedTuple):
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
    columns: dict[str, Sequence[object]] = {
        "id": [d.id for d in debits],
        "mandate_id": [e.mandate_id for e in events],
        "event_id": [e.event_id for e in events],
        "account_id": [d.account_id for d in debits],
        "balance_account_id": [d.balance_account_id for d in debits],
        "amount": [e.price_chf for e in events],
        "description": [e.description for e in events],
        "workflow_id": [e.workflow_id for e in events],
        "feature_instance_id": [e.feature_instance_id for e in events],
        "feature_code": [e.feature_code for e in events],
        "provider": [e.provider for e in events],
        "model": [e.model for e in events],
        "input_tokens": [u.input_tokens for u in usages],
        "output_tokens": [u.output_tokens for u in usages],
        "cached_input_tokens": [u.cached_input_tokens for u in usages],
        "cache_write_tokens": [u.cache_write_tokens for u in usages],
        "reasoning_tokens": [u.reasoning_tokens for u in usages],
        "created_by_user_id": [e.user_id for e in events],
        "time_zone": [d.settings.time_zone for d in debits],
        "settings_version": [d.settings.version for d in debits],
        "source": [e.source for e in events],
    }
    occurred_at = packed_times([e.occurred_at for e in events])
    connection.execute(_RECORD_USAGE, {name: packed(column) for name, column in columns.items()} | {"occurred_at": occurred_at, "batch_id": batch_id})


def recorded_events(connection: Connection, keys: Sequence[StoredHash]) -> dict[tuple[str, str], UsageEvent]:
    """Recorded usage by (mandate, event): what is billed of it, and the source."""
    rows = connection.execute(_USAGE_OF, {"ids": [k.transaction_id for k in keys], "recorded_at": [k.recorded_at for k in keys]}).mappings()
    return {(row["mandate_id"], row["event_id"]): _event(dict(row)) for row in rows}


def _event(row: dict[str, object]) -> UsageEvent:
    tokens = {name: row.pop(name) for name in _TOKENS}
    return UsageEvent(usage=TokenUsage(**tokens), **row)  # type: ignore[arg-type]
