"""SQL of usage statistics: what each entry adds to them, added up as batches come in, or anew from all transactions.

The two never run at once, nor two of either: whoever counts holds the statistics alone. So a batch is counted when its
note in `rollup_pending` goes, in the same transaction, and every note that is still to be seen is of a batch still to be counted.
"""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.database.locks import Lock, hold, try_hold
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import CORRECTIONS, COSTS, REFUND, REVERSAL, USAGE
from core.ledger.sql.entry_kinds import is_of
from core.ledger.sql.measured import ENTRIES_AT_ONCE, HAS_ANY_OBJECT, IS_MEASURED, measures, measures_taken_back, taken_apart

# Tens of thousands of groups are added up without a file; compiling the statement would take longer than running it.
_PREPARE = text("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")

_KEY = ("mandate_id", "account_id", "period_type", "period_start", "provider", "model", "feature_code")
_SUMS = ("event_count", "cost", "billed_cost", "refunded", *TOKEN_KINDS)
_MEASURE_KEY = (*_KEY, "measure", "currency")

# Usage, and the debit of an amendment, whose event is counted already.
_DEBIT_COLUMNS = f"""
    t.mandate_id, t.account_id, t.local_date, t.provider, t.model, t.feature_code,
    CASE t.reference_type WHEN '{USAGE.reference_type}' THEN 1 END AS event, t.amount AS cost,
    CASE WHEN t.balance_account_id IS NULL THEN t.amount END AS unbilled_cost, CAST(NULL AS numeric) AS refunded,
    {", ".join(f"t.{name}" for name in TOKEN_KINDS)}
"""
_IS_DEBIT = is_of(COSTS)

# What a correction refers to (o) decides the group: a reversal takes that entry's cost and tokens out of that entry's local day,
# a refund stands beside them.
_CORRECTION_COLUMNS = f"""
    o.mandate_id, o.account_id, o.local_date, o.provider, o.model, o.feature_code, NULL,
    CASE t.reference_type WHEN '{REVERSAL.reference_type}' THEN -t.amount END,
    CASE WHEN t.reference_type = '{REVERSAL.reference_type}' AND o.balance_account_id IS NULL THEN -t.amount END,
    CASE t.reference_type WHEN '{REFUND.reference_type}' THEN t.amount END,
    {", ".join(f"CASE t.reference_type WHEN '{REVERSAL.reference_type}' THEN -o.{name} END" for name in TOKEN_KINDS)}
"""
_IS_CORRECTION = f"{is_of(CORRECTIONS)} AND {is_of(COSTS, 'o')}"


def _summed(names: tuple[str, ...]) -> str:
    return ", ".join(f"sum({name}) AS {name}" for name in names)


def _of_those_there(name: str) -> str:
    """SQL for the sum of a column that may be NULL everywhere: so filtered it takes neither time nor memory where it is."""
    return f"coalesce(sum({name}) FILTER (WHERE {name} IS NOT NULL), 0)"


class _Entries(NamedTuple):
    """What is counted, as SQL after FROM: debits `t`, and corrections `t` of entries `o`."""

    debits: str
    corrections: str

    def select(self, of_debits: str, of_corrections: str, *, only: tuple[str, str] = ("true", "true")) -> str:
        """A query for these columns of both, of each under a condition."""
        return f"""
            SELECT {of_debits} FROM {self.debits} AND {only[0]}
            UNION ALL
            SELECT {of_corrections} FROM {self.corrections} AND {only[1]}"""


_NAMED = """coalesce(provider, 'unknown') COLLATE "C" AS provider, coalesce(model, 'unknown') COLLATE "C" AS model,
                   coalesce(feature_code, 'unknown') COLLATE "C" AS feature_code"""
_MONTH, _YEAR = (f"CAST(date_trunc('{unit}', CAST(period_start AS timestamp)) AS date)" for unit in ("month", "year"))


def _periods(days: str, counted: str, key: tuple[str, ...], sums: tuple[str, ...]) -> str:
    """The rows `counted` of the rows `days`: by day, from those by month, from those by year; in the order of the key."""
    rest, listed = ", ".join(key[4:]), ", ".join(sums)
    return f"""
        {days}_months AS MATERIALIZED (
            SELECT mandate_id, account_id, 'MONTH' AS period_type, {_MONTH} AS period_start, {rest}, {_summed(sums)}
              FROM {days} GROUP BY mandate_id, account_id, 4, {rest}
        ), {counted} AS (
            SELECT {", ".join(key)}, {listed} FROM {days}
            UNION ALL
            SELECT {", ".join(key)}, {listed} FROM {days}_months
            UNION ALL
            SELECT mandate_id, account_id, 'YEAR', {_YEAR}, {rest}, {_summed(sums)}
              FROM {days}_months GROUP BY mandate_id, account_id, 4, {rest}
             ORDER BY {", ".join(key)}
        )"""


_OF_MEASURED = "{0}.mandate_id, {0}.account_id, {0}.local_date, {0}.provider, {0}.model, {0}.feature_code, t.id / {1} AS part, {2} AS measures"


def _measured(entries: _Entries) -> str:
    debits = _OF_MEASURED.format("t", ENTRIES_AT_ONCE, measures("t"))
    reversals = _OF_MEASURED.format("o", ENTRIES_AT_ONCE, measures_taken_back("o"))
    taken_back = f"t.reference_type = '{REVERSAL.reference_type}' AND {IS_MEASURED.format('o')}"
    return f"""
            SELECT mandate_id, account_id, local_date, {_NAMED}, string_agg(measures, ',') AS measures
              FROM ({entries.select(debits, reversals, only=(IS_MEASURED.format("t"), taken_back))}) AS entries
             WHERE {HAS_ANY_OBJECT}
             GROUP BY mandate_id, account_id, local_date, 4, 5, 6, part"""


def _counted(entries: _Entries) -> str:
    """The rows of statistics that the entries give (`counted`), and of what they measure (`counted_measures`)."""
    return f"""
        days AS MATERIALIZED (
            SELECT mandate_id, account_id, 'DAY' AS period_type, local_date AS period_start, {_NAMED},
                   count(event) AS event_count, {_of_those_there("cost")} AS cost,
                   {_of_those_there("cost")} - {_of_those_there("unbilled_cost")} AS billed_cost,
                   {", ".join(f"{_of_those_there(name)} AS {name}" for name in _SUMS[3:])}
              FROM ({entries.select(_DEBIT_COLUMNS, _CORRECTION_COLUMNS)}) AS entries
             GROUP BY mandate_id, account_id, local_date, 5, 6, 7
        ), {_periods("days", "counted", _KEY, _SUMS)}, measured AS MATERIALIZED (
            SELECT mandate_id, account_id, 'DAY' AS period_type, local_date AS period_start, provider, model, feature_code,
                   m.measure, m.currency, sum(m.total) AS total
              FROM ({_measured(entries)}) AS groups CROSS JOIN LATERAL ({taken_apart("groups.measures")}) AS m
             GROUP BY mandate_id, account_id, local_date, 5, 6, 7, 8, 9
        ), {_periods("measured", "counted_measures", _MEASURE_KEY, ("total",))}"""


# The entries of a batch lie between its first and its last id, with those of others among them. Ranges of ids are read by the
# primary key, each once, whatever the planner thinks of them (OFFSET 0) and whatever the clocks said (no bound on times).
# IS TRUE makes it look each batch up rather than join, which would put the entries into a hash table.
_IN_RANGES = """
    (SELECT unnest(range_agg(int8range(first_transaction_id, last_transaction_id, '[]'))) AS ids FROM taken {0}) AS ranges
     CROSS JOIN LATERAL (SELECT * FROM transactions WHERE id BETWEEN lower(ranges.ids) AND upper(ranges.ids) - 1 OFFSET 0) AS t
"""
_IS_TAKEN = "(t.batch_id IN (SELECT id FROM taken)) IS TRUE"
_CORRECTED = "CROSS JOIN LATERAL (SELECT * FROM transactions WHERE id = t.reverses_id OFFSET 0) AS o"
_OF_CORRECTIONS = "WHERE kind NOT IN ('usage', 'release', 'replay')"  # these batches have usage alone

# Each batch that is taken is looked up (OFFSET 0) and its note deleted by its id: to a planner that doesn't know how few these are, reading all
# batches and all notes seems cheaper, every time.
_ROLL_UP = text(f"""
    WITH waiting AS (
        SELECT b.id, b.kind, b.first_transaction_id, b.last_transaction_id,
               sum(b.last_transaction_id - b.first_transaction_id + 1) OVER (ORDER BY b.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
          FROM (SELECT batch_id FROM rollup_pending ORDER BY batch_id LIMIT :batches_max) AS p
         CROSS JOIN LATERAL (SELECT * FROM batches WHERE id = p.batch_id OFFSET 0) AS b
    ), taken AS (
        SELECT id, kind, first_transaction_id, last_transaction_id FROM waiting WHERE coalesce(before, 0) < :entries_max
    ), counted_off AS (
        DELETE FROM rollup_pending WHERE batch_id = ANY(ARRAY(SELECT id FROM taken))
    ), {
    _counted(
        _Entries(
            f"{_IN_RANGES.format('')} WHERE {_IS_TAKEN} AND {_IS_DEBIT}",
            f"{_IN_RANGES.format(_OF_CORRECTIONS)} {_CORRECTED} WHERE {_IS_TAKEN} AND {_IS_CORRECTION}",
        )
    )
}, written AS (
        INSERT INTO usage_statistics AS s ({", ".join(_KEY)}, {", ".join(_SUMS)})
        SELECT * FROM counted
        ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {", ".join(f"{name} = s.{name} + excluded.{name}" for name in _SUMS)}, updated_at = now()
        RETURNING 1
    ), written_measures AS (
        INSERT INTO usage_measures AS s ({", ".join(_MEASURE_KEY)}, total)
        SELECT * FROM counted_measures
        ON CONFLICT ({", ".join(_MEASURE_KEY)}) DO UPDATE SET total = s.total + excluded.total
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM taken) AS batches, (SELECT coalesce(sum(event_count), 0) FROM days) AS events,
           (SELECT count(*) FROM written) + (SELECT count(*) FROM written_measures) AS written,
           EXISTS (SELECT FROM rollup_pending WHERE batch_id NOT IN (SELECT id FROM taken)) AS more
""")

_IS_SEEN = "(t.batch_id IN (SELECT batch_id FROM rollup_pending)) IS NOT TRUE"


# Rows that are right already stay untouched. A planner that knows nothing of the mandate yet takes what is counted for one row, and would
# read it again for each row of statistics. A FULL JOIN can't be done row by row, nor a place be looked for.
def _removed(table: str, counted: str, key: tuple[str, ...], column: str) -> str:
    return f"""
        DELETE FROM {table} s
         WHERE s.ctid = ANY(ARRAY(SELECT stored.place
                                    FROM (SELECT ctid AS place, {", ".join(key)} FROM {table} WHERE mandate_id = :mandate_id) AS stored
                                    FULL JOIN {counted} c USING ({", ".join(key)})
                                   WHERE c.{column} IS NULL))
        RETURNING 1"""


_REBUILD = text(f"""
    WITH {
    _counted(
        _Entries(
            f"transactions t WHERE t.mandate_id = :mandate_id AND {_IS_DEBIT} AND {_IS_SEEN}",
            f"transactions t {_CORRECTED} WHERE t.mandate_id = :mandate_id AND {_IS_CORRECTION} AND {_IS_SEEN}",
        )
    )
}, removed AS ({_removed("usage_statistics", "counted", _KEY, "event_count")}
    ), removed_measures AS ({_removed("usage_measures", "counted_measures", _MEASURE_KEY, "total")}
    ), written AS (
        INSERT INTO usage_statistics AS s ({", ".join(_KEY)}, {", ".join(_SUMS)})
        SELECT * FROM counted
        ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _SUMS)}, updated_at = now()
         WHERE ({", ".join(f"s.{name}" for name in _SUMS)}) IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _SUMS)})
        RETURNING 1
    ), written_measures AS (
        INSERT INTO usage_measures AS s ({", ".join(_MEASURE_KEY)}, total)
        SELECT * FROM counted_measures
        ON CONFLICT ({", ".join(_MEASURE_KEY)}) DO UPDATE SET total = excluded.total WHERE s.total IS DISTINCT FROM excluded.total
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM counted) + (SELECT count(*) FROM counted_measures) AS rows,
           (SELECT count(*) FROM written) + (SELECT count(*) FROM written_measures) AS written,
           (SELECT count(*) FROM removed) + (SELECT count(*) FROM removed_measures) AS removed
""")

_MANDATES = text("""
    SELECT mandate_id FROM billing_settings UNION SELECT mandate_id FROM usage_statistics UNION SELECT mandate_id FROM usage_measures
     ORDER BY mandate_id
""")
_HAS_ANY = text("""
    SELECT EXISTS (SELECT FROM billing_settings WHERE mandate_id = :mandate_id)
        OR EXISTS (SELECT FROM usage_statistics WHERE mandate_id = :mandate_id)
        OR EXISTS (SELECT FROM usage_measures WHERE mandate_id = :mandate_id)
""")


@dataclass(frozen=True, slots=True)
class Taken:
    """What one transaction of a rollup counted: batches, their events, rows of statistics that changed; and whether more was pending."""

    batches: int
    events: int
    written: int
    more: bool


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A mandate's rows of statistics, and how many of them were wrong or missing (`written`) or too many (`removed`)."""

    rows: int
    written: int
    removed: int


def hold_statistics(connection: Connection) -> None:
    """Until the transaction ends, nobody else counts. Before any other lock."""
    hold(connection, Lock.STATISTICS)


def try_hold_statistics(connection: Connection) -> bool:
    """As `hold_statistics`, but without waiting: whether it is ours."""
    return try_hold(connection, Lock.STATISTICS)


def count_pending(connection: Connection, *, batches_max: int, entries_max: int) -> Taken:
    """Counts the oldest pending batches, at most so many, and none once their ids span `entries_max`. The caller holds the statistics."""
    connection.execute(_PREPARE)
    row = connection.execute(_ROLL_UP, {"batches_max": batches_max, "entries_max": entries_max}).one()
    return Taken(row.batches, int(row.events), row.written, row.more)


def count_anew(connection: Connection, mandate_id: str) -> Rebuilt:
    """Makes the mandate's statistics what its transactions give, but for those of pending batches. The caller holds the statistics."""
    connection.execute(_PREPARE)
    return Rebuilt(**connection.execute(_REBUILD, {"mandate_id": mandate_id}).mappings().one())


def may_have_statistics(connection: Connection, mandate_id: str) -> bool:
    """Whether `mandates_with_statistics` names the mandate."""
    return bool(connection.execute(_HAS_ANY, {"mandate_id": mandate_id}).scalar_one())


def mandates_with_statistics(connection: Connection) -> list[str]:
    """Every mandate that may have usage or statistics, by id."""
    return list(connection.execute(_MANDATES).scalars())
