"""SQL of ledger entries that recording doesn't write: any number of them in one statement."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from sqlalchemy import Connection, TextClause, text

from core.database.event_columns import CALL_COLUMNS, said_of_call
from core.database.packing import packed, unpacked
from core.database.zones import local_day
from core.events.model import EVENT_TEXTS, TOKEN_KINDS
from core.ledger.entry import Entry
from core.ledger.sql.transactions import PRICED_COLUMNS
from core.ledger.sql.usage_shapes import keep_usage

_Columns = Mapping[str, tuple[str, Callable[[Entry], object]]]


def _of_event(name: str) -> Callable[[Entry], object]:
    value = attrgetter(name)
    return lambda e: None if e.event is None else value(e.event)


def _of_call(name: str) -> Callable[[Entry], object]:
    value = attrgetter(name)

    def of_call(entry: Entry) -> object:
        call = None if entry.event is None else entry.event.call
        return None if call is None or (name.startswith("reported_cost") and call.reported_cost is None) else value(call)

    return of_call


def _of_price(name: str) -> Callable[[Entry], object]:
    value = attrgetter(name)
    return lambda e: None if e.priced is None else value(e.priced)


_COLUMNS: _Columns = {
    "mandate_id": ("text", lambda e: e.settings.mandate_id),
    "account_id": ("bigint", lambda e: e.account_id),
    "balance_account_id": ("bigint", lambda e: e.balance_account_id),
    "transaction_type": ("text", lambda e: e.kind.transaction_type),
    "amount": ("numeric", lambda e: e.amount),
    "reference_type": ("text", lambda e: e.kind.reference_type),
    "description": ("text", lambda e: e.description),
    "created_by_user_id": ("text", lambda e: e.by),
    "operation_key": ("text", lambda e: e.key),
    "reverses_id": ("bigint", lambda e: e.reverses_id),
    "settings_version": ("int", lambda e: e.settings.version),
}
_OF_EVENTS: _Columns = {
    **_COLUMNS,
    **{name: ("text", _of_event(name)) for name in ("event_id", *EVENT_TEXTS) if name != "description"},
    **{name: ("bigint", _of_event(f"usage.{name}")) for name in TOKEN_KINDS},
    **{name: (kind, _of_call(said_of_call(name))) for name, kind in CALL_COLUMNS.items()},
    "price_given": ("numeric", lambda e: None if e.event is None or e.priced is None or e.priced.stamp_id is None else e.event.price_chf),
    **{name: (kind, _of_price(field)) for name, (kind, field) in PRICED_COLUMNS.items()},
}
_NOT_COLUMNS: _Columns = {
    "given_id": ("bigint", lambda e: e.id),
    "given_time": ("timestamptz", lambda e: e.occurred_at if e.event is None else e.event.occurred_at),
    "given_day": ("date", lambda e: e.local_date),
    "time_zone": ("text", lambda e: e.settings.time_zone),
}


_USAGE_KINDS = {"usage_shape": "int", "usage_values": "text"}  # of an event's usage object, as it is kept


def _insert(columns: Mapping[str, str]) -> TextClause:
    given = {**columns, **{name: kind for name, (kind, _) in _NOT_COLUMNS.items()}}
    return text(f"""
    INSERT INTO transactions (id, {", ".join(columns)}, occurred_at, recorded_at, local_date, batch_id)
    SELECT coalesce(e.given_id, nextval('transactions_id_seq')), {", ".join(f"e.{name}" for name in columns)},
           coalesce(e.given_time, now()), now(), coalesce(e.given_day, {local_day("coalesce(e.given_time, now())", "e.time_zone")}), :batch_id
      FROM unnest({", ".join(unpacked(name, kind) for name, kind in given.items())}) WITH ORDINALITY AS e({", ".join(given)}, place)
     WHERE e.account_id IS NOT NULL
     ORDER BY e.place
    RETURNING id, recorded_at
    """)


_INSERT = _insert({name: kind for name, (kind, _) in _COLUMNS.items()})
_INSERT_OF_EVENTS = _insert({**{name: kind for name, (kind, _) in _OF_EVENTS.items()}, **_USAGE_KINDS})


def insert_entries(connection: Connection, entries: Sequence[Entry], batch_id: int | None) -> tuple[list[int], datetime]:
    """Writes the entries, at least one, each in its mandate's local day; returns their ids in order, and `recorded_at` of them all.

    Only `post` moves the balances that they explain.
    """
    of_events = any(entry.event is not None for entry in entries)
    columns = {**(_OF_EVENTS if of_events else _COLUMNS), **_NOT_COLUMNS}
    parameters = {name: packed([value(entry) for entry in entries]) for name, (_, value) in columns.items()}
    if of_events:
        shapes, values = keep_usage(connection, [None if entry.event is None else entry.event.raw_usage for entry in entries])
        parameters |= {"usage_shape": packed(shapes), "usage_values": packed(values)}
    written = connection.execute(_INSERT_OF_EVENTS if of_events else _INSERT, {**parameters, "batch_id": batch_id}).all()
    return sorted(row.id for row in written), written[0].recorded_at
