"""SQL that reads the whole ledger, or all statistics, in an order that never changes and in chunks, however many rows there are."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, text
from sqlalchemy import Row as Found

from core.database.event_columns import CALL_COLUMNS, TEXT_COLUMNS
from core.database.local_days import entries_in_days
from core.database.zones import first_moment
from core.directory.sql.names import mandate_name, user_name
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import REVERSAL
from core.ledger.sql.measured import measures, measures_taken_back
from core.ledger.sql.shown_transactions import PRICE_OF_PRODUCER, USAGE_OBJECT
from core.periods import PeriodType
from core.reports.columns import Column, Kind, Row
from core.reports.focus import Bounds, ChargedEntry, Usage
from core.statistics.measures import COST_COLUMNS, LEAF_COLUMNS, cost_values, leaf_values, measured_of

CHUNK_ROWS = 5_000
_PREPARE = text("SELECT set_config('cursor_tuple_fraction', '1', true), set_config('jit', 'off', true)")  # all rows are wanted, not the first ones

# The local day that an entry counts for: its own, but of a correction (o is what it corrects) that of the original.
_COUNTED_ON = "coalesce(o.local_date, t.local_date)"
# The lookup is left out for the many that correct nothing: their time is what an export takes.
_CORRECTED = "LEFT JOIN LATERAL (SELECT * FROM transactions WHERE t.reverses_id IS NOT NULL AND id = t.reverses_id OFFSET 0) AS o ON true"

_CALL_KINDS = {"smallint": Kind.INTEGER, "bigint": Kind.INTEGER}

# What an export of the ledger shows: column, kind, where it comes from. Who acted wins over the account's user.
_TRANSACTION = (
    ("id", Kind.INTEGER, "t.id"),
    ("mandate_id", Kind.TEXT, "t.mandate_id"),
    ("mandate_name", Kind.TEXT, mandate_name("t.mandate_id")),
    ("event_id", Kind.TEXT, "t.event_id"),
    ("account_id", Kind.INTEGER, "t.account_id"),
    ("account_type", Kind.TEXT, "a.account_type"),
    ("account_user_id", Kind.TEXT, "a.user_id"),
    ("user_id", Kind.TEXT, "coalesce(t.created_by_user_id, a.user_id)"),
    ("user_name", Kind.TEXT, user_name("t.created_by_user_id", "a.user_id")),
    ("balance_account_id", Kind.INTEGER, "t.balance_account_id"),
    ("transaction_type", Kind.TEXT, "t.transaction_type"),
    ("amount", Kind.AMOUNT, "t.amount"),
    ("reference_type", Kind.TEXT, "t.reference_type"),
    *[(name, Kind.TEXT, f"t.{name}") for name in TEXT_COLUMNS],
    *[(name, Kind.INTEGER, f"t.{name}") for name in TOKEN_KINDS],
    ("occurred_at", Kind.TIME, "t.occurred_at"),
    ("recorded_at", Kind.TIME, "t.recorded_at"),
    ("local_date", Kind.DAY, "t.local_date"),
    ("counted_on", Kind.DAY, _COUNTED_ON),
    ("settings_version", Kind.INTEGER, "t.settings_version"),
    ("batch_id", Kind.INTEGER, "t.batch_id"),
    ("reverses_id", Kind.INTEGER, "t.reverses_id"),
    ("operation_key", Kind.TEXT, "t.operation_key"),
    ("source", Kind.TEXT, "t.source"),
    *[
        (name, _CALL_KINDS.get(kind, Kind.TEXT), f"CAST(t.{name} AS {'bigint' if kind in _CALL_KINDS else 'text'})")
        for name, kind in CALL_COLUMNS.items()
    ],
    ("usage_object", Kind.TEXT, USAGE_OBJECT.format("t")),
    ("leaves", Kind.TEXT, "t.leaves"),
    ("price_given", Kind.AMOUNT, PRICE_OF_PRODUCER.format("t")),
    ("unpriced", Kind.TEXT, "t.unpriced"),
    ("price_computed", Kind.AMOUNT, "t.price_computed"),
    ("provider_cost", Kind.COST, "trim_scale(t.provider_cost)"),
    ("provider_currency", Kind.TEXT, "t.provider_currency"),
    ("stamp_id", Kind.INTEGER, "t.stamp_id"),
)
_OF_COSTS = ("price_computed", "provider_cost", "provider_currency", "stamp_id")  # which root alone is shown
_STATISTIC = (
    ("mandate_id", Kind.TEXT, "s.mandate_id"),
    ("mandate_name", Kind.TEXT, mandate_name("s.mandate_id")),
    ("account_id", Kind.INTEGER, "s.account_id"),
    ("user_id", Kind.TEXT, "a.user_id"),
    ("user_name", Kind.TEXT, user_name("a.user_id")),
    ("period_type", Kind.TEXT, "s.period_type"),
    ("period_start", Kind.DAY, "s.period_start"),
    ("provider", Kind.TEXT, "s.provider"),
    ("model", Kind.TEXT, "s.model"),
    ("feature_code", Kind.TEXT, "s.feature_code"),
    ("event_count", Kind.INTEGER, "s.event_count"),
    *[(name, Kind.TOTAL, f"s.{name}") for name in ("cost", "billed_cost", "refunded")],
    *[(name, Kind.COUNT, f"s.{name}") for name in TOKEN_KINDS],
)
TRANSACTION_COLUMNS = tuple(Column(name, kind) for name, kind, _ in _TRANSACTION)
STATISTIC_COLUMNS = (
    *[Column(name, kind) for name, kind, _ in _STATISTIC],
    *[Column(name, Kind.COUNT) for name in LEAF_COLUMNS],
    *[Column(name, kind) for name, kind in zip(COST_COLUMNS, (Kind.COST, Kind.TEXT, Kind.TEXT), strict=True)],
)
_NOTHING_MEASURED = (None,) * (len(LEAF_COLUMNS) + len(COST_COLUMNS))

# What takes an entry back shows the tokens of that entry with the sign turned.
_COUNTED = f"CASE WHEN t.reference_type = '{REVERSAL.reference_type}' AND o.id IS NOT NULL THEN -o.{{0}} ELSE t.{{0}} END AS {{0}}"
_ENTRY = f"""
    SELECT t.id, t.mandate_id, {mandate_name("t.mandate_id")} AS mandate_name, t.account_id, a.account_type,
           {user_name("a.user_id")} AS account_user_name, t.balance_account_id, t.transaction_type, t.amount, t.reference_type,
           t.description, t.event_id, coalesce(t.created_by_user_id, a.user_id) AS user_id,
           coalesce(o.provider, t.provider) AS provider, coalesce(o.model, t.model) AS model,
           coalesce(o.feature_code, t.feature_code) AS feature_code, t.occurred_at, t.recorded_at, t.local_date, t.reverses_id,
           o.transaction_type AS reversed_transaction_type, o.reference_type AS reversed_reference_type,
           {PRICE_OF_PRODUCER.format("t")} AS price_given,
           {{measures}} AS measures,
           {", ".join(_COUNTED.format(name) for name in TOKEN_KINDS)},
           {{bounds}}
      FROM ({{entries}}) AS t
      {_CORRECTED}
      LEFT JOIN billing_settings_history h ON h.mandate_id = t.mandate_id AND h.version = coalesce(o.settings_version, t.settings_version)
      LEFT JOIN accounts a ON a.id = t.account_id
      LEFT JOIN directory_mandates d ON d.id = t.mandate_id
      LEFT JOIN directory_users u ON u.id = a.user_id
"""


def _ledger(hidden: Collection[str] = ()) -> str:
    return f"""
    SELECT {", ".join("NULL" if name in hidden else source for name, _, source in _TRANSACTION)}
      FROM ({{entries}}) AS t
      {_CORRECTED}
      LEFT JOIN accounts a ON a.id = t.account_id
      LEFT JOIN directory_mandates d ON d.id = t.mandate_id
      LEFT JOIN directory_users u ON u.id = coalesce(t.created_by_user_id, a.user_id)
"""


_LEDGER, _LEDGER_WITHOUT_COSTS = _ledger(), _ledger(_OF_COSTS)
_FIRST_TO_LAST = " ORDER BY t.recorded_at, t.id"

# Nothing is corrected before it happened, by clocks that don't differ by days: older partitions needn't be looked into.
_CORRECTIONS_IN_DAYS = f"""
    SELECT t.* FROM transactions t {_CORRECTED}
     WHERE {{of}} AND t.reverses_id IS NOT NULL AND t.recorded_at >= CAST(:first AS date) - 7 AND {_COUNTED_ON} BETWEEN :first AND :last
"""

_KEY = ("mandate_id", "account_id", "period_type", "period_start", "provider", "model", "feature_code")
_MEASURED = f"""(SELECT string_agg(concat(m.measure, ':', m.currency, '=', trim_scale(m.total)), ',') FROM usage_measures m
             WHERE {" AND ".join(f"m.{name} = s.{name}" for name in _KEY)} AND (m.currency = '' OR {{costs}})) AS measures"""

_USAGE = f"""
    SELECT s.mandate_id, {mandate_name("s.mandate_id")} AS mandate_name, s.account_id, {user_name("a.user_id")} AS account_user_name,
           s.period_type, s.period_start, s.provider, s.model, s.feature_code, s.event_count, s.cost, s.billed_cost, s.refunded,
           {{measured}}, {", ".join(f"s.{name}" for name in TOKEN_KINDS)},
           {{bounds}}
"""
_STATISTICS = """
      FROM usage_statistics s
      LEFT JOIN accounts a ON a.id = s.account_id
      LEFT JOIN billing_settings h ON h.mandate_id = s.mandate_id
      LEFT JOIN directory_mandates d ON d.id = s.mandate_id
      LEFT JOIN directory_users u ON u.id = a.user_id
     WHERE s.period_type = :period_type AND s.period_start BETWEEN :first AND :last AND {of}
     ORDER BY s.mandate_id, s.account_id, s.period_start, s.provider, s.model, s.feature_code
"""


# A row for FOCUS ends with its bounds.
_BOUNDS_AT = -len(Bounds._fields)


class Wanted(NamedTuple):
    """Of which mandates (None: of all), and of which local days, both included; None: of all. `costs`: with what providers charge."""

    mandate_ids: Sequence[str] | None
    first: date | None
    last: date | None
    costs: bool = True


def read_transactions(connection: Connection, wanted: Wanted) -> Iterator[list[Row]]:
    """The entries of these local days as rows of `TRANSACTION_COLUMNS`, by `recorded_at`, then id."""
    ledger = _LEDGER if wanted.costs else _LEDGER_WITHOUT_COSTS
    for chunk in _read(connection, *_of_entries(ledger, wanted, _in_own_days)):
        yield [tuple(row) for row in chunk]


def read_entries(connection: Connection, wanted: Wanted) -> Iterator[list[ChargedEntry]]:
    """The entries that count for these local days, with all that FOCUS asks of them, by `recorded_at`, then id."""
    of_measures = f"""CASE WHEN t.reference_type = '{REVERSAL.reference_type}' AND o.id IS NOT NULL
                THEN {measures_taken_back("o", costs=wanted.costs)} ELSE {measures("t", costs=wanted.costs)} END"""
    bounds = _bounds(_COUNTED_ON, "day", "month")
    statement, parameters = _of_entries(_ENTRY, wanted, _counted_in_days, bounds=bounds, measures=of_measures)
    for chunk in _read(connection, statement, parameters):
        own, tokens, of_bounds, priced = _picks(chunk[0], ChargedEntry._fields[:-4], TOKEN_KINDS, Bounds._fields, ChargedEntry._fields[-2:])
        yield [ChargedEntry._make((*own(row), tokens(row), Bounds._make(of_bounds(row)), *priced(row))) for row in chunk]


def read_statistics(connection: Connection, wanted: Wanted, by: PeriodType) -> Iterator[list[Row]]:
    """The stored statistics of such periods, as rows of `STATISTIC_COLUMNS`, by mandate, account, period, provider, model and feature."""
    columns = f"SELECT {', '.join(source for _, _, source in _STATISTIC)}, {_MEASURED.format(costs=wanted.costs)}"
    for chunk in _read(connection, *_of_statistics(columns, wanted, by)):
        yield [(*row[:-1], *_measures(row[-1])) for row in chunk]


def read_usage(connection: Connection, wanted: Wanted, by: PeriodType) -> Iterator[list[Usage]]:
    """As `read_statistics`, with all that FOCUS asks of them."""
    billed = "year" if by is PeriodType.YEAR else "month"
    columns = _USAGE.format(measured=_MEASURED.format(costs=wanted.costs), bounds=_bounds("s.period_start", by.value.lower(), billed))
    for chunk in _read(connection, *_of_statistics(columns, wanted, by)):
        own, tokens, bounds = _picks(chunk[0], Usage._fields[:-3], TOKEN_KINDS, Bounds._fields)
        yield [Usage._make((*own(row), tokens(row), Bounds._make(bounds(row)), row.measures)) for row in chunk]


def _measures(text: str | None) -> tuple[object, ...]:
    if not text:
        return _NOTHING_MEASURED
    found = measured_of(text)
    return (*leaf_values(found.leaves), *cost_values(found.provider_cost))


def _read(connection: Connection, statement: TextClause, parameters: Mapping[str, object]) -> Iterator[Sequence[Found[Any]]]:
    """The rows of the statement through a cursor on the server: neither side ever holds them all."""
    connection.execute(_PREPARE)
    with connection.execute(statement, parameters, execution_options={"stream_results": True}) as result:
        yield from result.yield_per(CHUNK_ROWS).partitions()


def _picks(row: Found[Any], *names: Sequence[str]) -> list[Callable[[Found[Any]], tuple[Any, ...]]]:
    """What picks the columns of each of these lists out of such a row, by their names: found once for all rows of a chunk."""
    return [itemgetter(*map(row._fields.index, of)) for of in names]


def _of_entries(shown: str, wanted: Wanted, in_days: Callable[[str], str], **parts: str) -> tuple[TextClause, dict[str, object]]:
    of, parameters = _of_mandates("t", wanted.mandate_ids)
    if wanted.first is None and wanted.last is None:
        entries = f"SELECT t.* FROM transactions t WHERE {of}"
    else:
        entries = in_days(of)
        parameters |= _days(wanted)
    return text(shown.format(entries=entries, **parts) + _FIRST_TO_LAST), parameters


def _in_own_days(of: str) -> str:
    return entries_in_days("t.*", of)


def _counted_in_days(of: str) -> str:
    return f"{entries_in_days('t.*', f'{of} AND t.reverses_id IS NULL')} UNION ALL {_CORRECTIONS_IN_DAYS.format(of=of)}"


def _of_statistics(columns: str, wanted: Wanted, by: PeriodType) -> tuple[TextClause, dict[str, object]]:
    of, parameters = _of_mandates("s", wanted.mandate_ids)
    return text(columns + _STATISTICS.format(of=of)), {**parameters, **_days(wanted), "period_type": by.value}


def _of_mandates(table: str, mandate_ids: Sequence[str] | None) -> tuple[str, dict[str, object]]:
    """A condition on the mandate; of a single one as an index that goes on with the order likes it."""
    if mandate_ids is None:
        return "true", {}
    if len(mandate_ids) == 1:
        return f"{table}.mandate_id = :mandate_id", {"mandate_id": mandate_ids[0]}
    return f"{table}.mandate_id = ANY(CAST(:mandate_ids AS text[]))", {"mandate_ids": list(mandate_ids)}


def _days(wanted: Wanted) -> dict[str, object]:
    return {"first": wanted.first or date.min, "last": wanted.last or date.max}


def _bounds(day: str, charge: str, billing: str) -> str:
    """SQL for where the periods around a local day begin and end: in the time zone of the settings `h`, where there are such."""
    bounds: list[str] = []
    for unit in (charge, billing):
        start = f"date_trunc('{unit}', CAST({day} AS timestamp))"
        bounds += [first_moment(f"({start}{step})", "coalesce(h.time_zone, 'UTC')") for step in ("", f" + interval '1 {unit}'")]
    return ", ".join(f"{bound} AS {name}" for bound, name in zip(bounds, Bounds._fields, strict=True))
