"""SQL of usage statistics: what each entry adds to them, added up as batches come in, or anew from all transactions.

The two never run at once, nor two of either: whoever counts holds the statistics alone. So a batch is counted when its
note in `rollup_pending` goes, in the same transaction, and every note that is still to be seen is of a batch still to be counted.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from core.database.locks import Lock, hold, try_hold
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import CORRECTIONS, COSTS, REFUND, REVERSAL, USAGE
from core.ledger.sql.entry_kinds import is_of

# Tens of thousands of groups are added up without a file; compiling the statement would take longer than running it.
_PREPARE = text("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")

_KEY = ("mandate_id", "account_id", "period_type", "period_start", "provider", "model", "feature_code")
_SUMS = ("event_count", "cost", "billed_cost", "refunded", *TOKEN_KINDS)

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


def _summed(names: tuple[str, ...] = _SUMS) -> str:
    return ", ".join(f"sum({name}) AS {name}" for name in names)


def _of_those_there(name: str) -> str:
    """SQL for the sum of a column that may be NULL everywhere: so filtered it takes neither time nor memory where it is."""
    return f"coalesce(sum({name}) FILTER (WHERE {name} IS NOT NULL), 0)"


def _counted(entries: str) -> str:
    """The rows of statistics that `entries` give: by local day, from those by month, from those by year; in the order of the key."""
    return f"""
        days AS MATERIALIZED (
            SELECT mandate_id, account_id, 'DAY' AS period_type, local_date AS period_start, coalesce(provider, 'unknown') COLLATE "C" AS provider,
                   coalesce(model, 'unknown') COLLATE "C" AS model, coalesce(feature_code, 'unknown') COLLATE "C" AS feature_code,
                   count(event) AS event_count, {_of_those_there("cost")} AS cost,
                   {_of_those_there("cost")} - {_of_those_there("unbilled_cost")} AS billed_cost,
                   {", ".join(f"{_of_those_there(name)} AS {name}" for name in _SUMS[3:])}
              FROM ({entries}) AS entries
             GROUP BY mandate_id, account_id, local_date, 5, 6, 7
        ), months AS MATERIALIZED (
            SELECT mandate_id, account_id, 'MONTH' AS period_type, CAST(date_trunc('month', CAST(period_start AS timestamp)) AS date) AS period_start,
                   provider, model, feature_code, {_summed()}
              FROM days GROUP BY mandate_id, account_id, 4, provider, model, feature_code
        ), counted AS (
            SELECT * FROM days
            UNION ALL
            SELECT * FROM months
            UNION ALL
            SELECT mandate_id, account_id, 'YEAR', CAST(date_trunc('year', CAST(period_start AS timestamp)) AS date), provider, model, feature_code,
                   {_summed()}
              FROM months GROUP BY mandate_id, account_id, 4, provider, model, feature_code
             ORDER BY {", ".join(_KEY)}
        )"""


# The entries of a batch lie between its first and its last id, with those of others among them. Ranges of ids are read by the
# primary key, each once, whatever the planner thinks of them (OFFSET 0) and whatever the clocks said (no bound on times).
# IS TRUE makes it look each batch up rather than join, which would put the entries into a hash table.
_IN_RANGES = """
    (SELECT unnest(range_agg(int8range(first_transaction_id, last_transaction_id, '[]'))) AS ids FROM taken {0}) AS ranges
     CROSS JOIN LATERAL (SELECT * FROM transactions WHERE id BETWEEN lower(ranges.ids) AND upper(ranges.ids) - 1 OFFSET 0) AS t
"""
_IS_TAKEN = "(t.batch_id IN (SELECT id FROM taken)) IS TRUE"
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
    _counted(f'''
        SELECT {_DEBIT_COLUMNS} FROM {_IN_RANGES.format("")} WHERE {_IS_TAKEN} AND {_IS_DEBIT}
        UNION ALL
        SELECT {_CORRECTION_COLUMNS} FROM {_IN_RANGES.format(_OF_CORRECTIONS)}
         CROSS JOIN LATERAL (SELECT * FROM transactions WHERE id = t.reverses_id OFFSET 0) AS o WHERE {_IS_TAKEN} AND {_IS_CORRECTION}
    ''')
}, written AS (
        INSERT INTO usage_statistics AS s ({", ".join(_KEY)}, {", ".join(_SUMS)})
        SELECT * FROM counted
        ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {", ".join(f"{name} = s.{name} + excluded.{name}" for name in _SUMS)}, updated_at = now()
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM taken) AS batches, (SELECT coalesce(sum(event_count), 0) FROM days) AS events,
           (SELECT count(*) FROM written) AS written, EXISTS (SELECT FROM rollup_pending WHERE batch_id NOT IN (SELECT id FROM taken)) AS more
""")

_IS_SEEN = "(t.batch_id IN (SELECT batch_id FROM rollup_pending)) IS NOT TRUE"

# Rows that are right already stay untouched. A planner that knows nothing of the mandate yet takes what is counted for one row, and would
# read it again for each row of statistics. A FULL JOIN can't be done row by row, nor a place be looked for.
_REBUILD = text(f"""
    WITH {
    _counted(f'''
        SELECT {_DEBIT_COLUMNS} FROM transactions t
         WHERE t.mandate_id = :mandate_id AND {_IS_DEBIT} AND {_IS_SEEN}
        UNION ALL
        SELECT {_CORRECTION_COLUMNS} FROM transactions t
         CROSS JOIN LATERAL (SELECT * FROM transactions WHERE id = t.reverses_id OFFSET 0) AS o
         WHERE t.mandate_id = :mandate_id AND {_IS_CORRECTION} AND {_IS_SEEN}
    ''')
}, removed AS (
        DELETE FROM usage_statistics s
         WHERE s.ctid = ANY(ARRAY(SELECT stored.place
                                    FROM (SELECT ctid AS place, {", ".join(_KEY)} FROM usage_statistics WHERE mandate_id = :mandate_id) AS stored
                                    FULL JOIN counted c USING ({", ".join(_KEY)})
                                   WHERE c.event_count IS NULL))
        RETURNING 1
    ), written AS (
        INSERT INTO usage_statistics AS s ({", ".join(_KEY)}, {", ".join(_SUMS)})
        SELECT * FROM counted
        ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _SUMS)}, updated_at = now()
         WHERE ({", ".join(f"s.{name}" for name in _SUMS)}) IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _SUMS)})
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM counted) AS rows, (SELECT count(*) FROM written) AS written, (SELECT count(*) FROM removed) AS removed
""")

_MANDATES = text("SELECT mandate_id FROM billing_settings UNION SELECT mandate_id FROM usage_statistics ORDER BY mandate_id")
_HAS_ANY = text("""
    SELECT EXISTS (SELECT FROM billing_settings WHERE mandate_id = :mandate_id)
        OR EXISTS (SELECT FROM usage_statistics WHERE mandate_id = :mandate_id)
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
