"""SQL of statements: what moved a mandate's balances, and what was used, by the local day that it counts for.

An entry counts for its own local day, but a reversal for that of the entry that it takes back, as in the statistics. So an
amended month shows what its usage costs now. Reversals are read off `amendments` as the entry that they take back, with the sign
turned: each takes back all of it. Only what was recorded before `:as_of` is seen.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import TextClause, text

from core.billing import ReferenceType
from core.database.local_days import entries_in_days
from core.database.zones import first_moment, local_day
from core.directory.sql.names import mandate_name, user_name
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import COSTS, REFUND, REVERSAL, USAGE
from core.ledger.sql.entry_kinds import is_of
from core.ledger.sql.held import CLOCK, held_together, kept_of_users
from core.ledger.sql.measured import ENTRIES_AT_ONCE, HAS_ANY_OBJECT, IS_MEASURED, measures, measures_taken_back, taken_apart
from core.ledger.sql.transactions import DELTA

# As of a moment, at the latest this transaction's beginning, which it is without one; nothing before the mandate had settings.
MANDATE = text(f"""
    SELECT least(now(), CAST(:as_of AS timestamptz)) AS as_of, h.version AS settings_version, h.billing_address, h.time_zone,
           {mandate_name("h.mandate_id")} AS mandate_name,
           {first_moment("CAST(CAST(:last AS date) + 1 AS timestamp)", "h.time_zone")} AS ends_at,
           coalesce(CAST(:as_of AS timestamptz) >= now(), true)
               AND {local_day("now()", "h.time_zone")} BETWEEN :first AND :last AS is_present
      FROM billing_settings_history h
      LEFT JOIN directory_mandates d ON d.id = h.mandate_id
     WHERE h.mandate_id = :mandate_id AND h.changed_at < least(now(), CAST(:as_of AS timestamptz))
     ORDER BY h.version DESC LIMIT 1
""")

# The first model, and those until the last day, each with the local day since which it holds.
MODELS = text(f"""
    SELECT billing_model, day
      FROM (SELECT version, billing_model, {local_day("changed_at", "time_zone")} AS day,
                   lag(billing_model) OVER (ORDER BY version) AS model_before
              FROM billing_settings_history WHERE mandate_id = :mandate_id AND changed_at < :as_of) AS h
     WHERE billing_model IS DISTINCT FROM model_before AND (day <= :last OR model_before IS NULL)
     ORDER BY version
""")

# What is held is of now: no entry tells what was held before.
BALANCES = text(f"""
    SELECT a.pool_id, a.pool, a.users,
           {held_together("a.pool_held", ":mandate_id", "ho.balance_account_id = a.pool_id", CLOCK)} AS pool_held,
           {held_together("a.users_held", ":mandate_id", kept_of_users("a.pool_id"), CLOCK)} AS users_held
      FROM (SELECT max(id) FILTER (WHERE user_id IS NULL) AS pool_id,
                   coalesce(sum(balance) FILTER (WHERE user_id IS NULL), 0.000000000) AS pool,
                   coalesce(sum(balance) FILTER (WHERE user_id IS NOT NULL), 0.000000000) AS users,
                   coalesce(sum(held) FILTER (WHERE user_id IS NULL), 0.000000000) AS pool_held,
                   coalesce(sum(held) FILTER (WHERE user_id IS NOT NULL), 0.000000000) AS users_held
              FROM accounts WHERE mandate_id = :mandate_id) AS a
""")

_OF_MANDATE = "t.mandate_id = :mandate_id AND t.recorded_at < :as_of"
_IS_REVERSAL, _IS_USAGE = is_of([REVERSAL]), is_of(COSTS)
_IS_POOL = "coalesce(t.balance_account_id = CAST(:pool_id AS bigint), false)"

# The event ids say nothing more, but find the amendments of the few entries that are found by their local day.
_TAKEN_BACK = """amendments m JOIN transactions t
    ON t.id = m.reversed_id AND t.recorded_at = m.reversed_recorded_at AND t.mandate_id = m.mandate_id AND t.event_id = m.event_id"""
_TAKEN_BACK_OF_MANDATE = "m.mandate_id = :mandate_id AND m.recorded_at < :as_of AND t.mandate_id = :mandate_id"


def _taken_back(columns: str, condition: str = "true") -> str:
    of = f"{_TAKEN_BACK_OF_MANDATE} AND {condition}"
    return entries_in_days(columns, of, entries=_TAKEN_BACK, recorded_at="m.reversed_recorded_at")


# What counts for these days and moved a balance, by kind, and refunds that moved none. An AMENDMENT is what reversals gave back and new
# debits took.
MOVED = text(f"""
    SELECT is_pool, reference_type AS kind, sum(amount) AS amount FROM (
        {
    entries_in_days(
        f"CASE WHEN t.balance_account_id IS NOT NULL THEN {_IS_POOL} END AS is_pool, t.reference_type, {DELTA} AS amount",
        f"{_OF_MANDATE} AND (t.balance_account_id IS NOT NULL OR t.reference_type = '{REFUND.reference_type}') AND NOT {_IS_REVERSAL}",
    )
}
        UNION ALL
        {_taken_back(f"{_IS_POOL}, '{REVERSAL.reference_type}', t.amount", "t.balance_account_id IS NOT NULL")}
    ) AS moved GROUP BY is_pool, reference_type
""")

# What was recorded at `:as_of` or later, of whatever day, and moved a balance, by kind.
MOVED_SINCE = text(f"""
    SELECT {_IS_POOL} AS is_pool, t.reference_type AS kind, sum({DELTA}) AS amount FROM transactions t
     WHERE t.mandate_id = :mandate_id AND t.recorded_at >= :as_of AND t.balance_account_id IS NOT NULL
     GROUP BY 1, 2
""")

_NAMES = """
    t.local_date, t.account_id, coalesce(t.provider, 'unknown') AS provider, coalesce(t.model, 'unknown') AS model,
    coalesce(t.feature_code, 'unknown') AS feature_code
"""
_USED_COLUMNS = f"""
    {_NAMES}, CASE t.reference_type WHEN '{USAGE.reference_type}' THEN 1 END AS event, t.amount AS cost,
    CASE WHEN t.balance_account_id IS NOT NULL THEN t.amount END AS billed_cost, {", ".join(f"t.{name}" for name in TOKEN_KINDS)},
    CASE WHEN t.reference_type = '{USAGE.reference_type}' AND t.recorded_at >= :ends_at THEN 1 END AS late_event
"""
_UNUSED_COLUMNS = f"""
    {_NAMES}, NULL, -t.amount, CASE WHEN t.balance_account_id IS NOT NULL THEN -t.amount END,
    {", ".join(f"-t.{name}" for name in TOKEN_KINDS)}, NULL
"""

# The usage of these days as amended, added up four times: by day, model, feature and user; the dearest first.
USED = text(f"""
    WITH sums AS (
        SELECT local_date, provider, model, feature_code, account_id, count(event) AS event_count, sum(cost) AS cost,
               coalesce(sum(billed_cost), 0.000000000) AS billed_cost,
               {", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in TOKEN_KINDS)}, count(late_event) AS late_event_count
          FROM ({entries_in_days(_USED_COLUMNS, f"{_OF_MANDATE} AND {_IS_USAGE}")}
                UNION ALL
                {_taken_back(_UNUSED_COLUMNS)}) AS used
         GROUP BY GROUPING SETS ((local_date), (provider, model), (feature_code), (account_id))
    )
    SELECT s.local_date AS day, s.provider, s.model, s.feature_code, a.user_id,
           {user_name("a.user_id")} AS user_name,
           s.event_count, s.cost, s.billed_cost, s.late_event_count, ARRAY[{", ".join(f"s.{name}" for name in TOKEN_KINDS)}] AS tokens
      FROM sums s
      LEFT JOIN accounts a ON a.id = s.account_id
      LEFT JOIN directory_users u ON u.id = a.user_id
     ORDER BY s.cost DESC, s.local_date, s.provider, s.model, s.feature_code, a.user_id
""")

_MEASURED = IS_MEASURED.format("t")


def _measured(*, costs: bool) -> TextClause:
    columns = f"{_NAMES}, t.id / {ENTRIES_AT_ONCE} AS part"
    return text(f"""
    SELECT u.provider, u.model, m.measure, m.currency, trim_scale(sum(m.total)) AS total
      FROM (SELECT provider, model, string_agg(measures, ',') AS measures
              FROM ({entries_in_days(f"{columns}, {measures('t', costs=costs)} AS measures", f"{_OF_MANDATE} AND {_IS_USAGE} AND {_MEASURED}")}
                    UNION ALL
                    {_taken_back(f"{columns}, {measures_taken_back('t', costs=costs)} AS measures", _MEASURED)}) AS used
             WHERE {HAS_ANY_OBJECT}
             GROUP BY provider, model, part) AS u
     CROSS JOIN LATERAL ({taken_apart("u.measures")}) AS m
     GROUP BY 1, 2, 3, 4 HAVING sum(m.total) <> 0
     ORDER BY 1, 2, 3, 4
""")


# What that usage was by class, by model; with what the providers charge, or without.
MEASURED = {costs: _measured(costs=costs) for costs in (False, True)}

# Before MOVED and USED: a month of a large mandate is summed up without a file; compiling the statement would take longer than running it.
PREPARE = text("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")


@dataclass(frozen=True, slots=True)
class StatedMandate:
    """A mandate by the settings of a moment, `as_of`.

    `ends_at` is when the asked month ends by its clocks; `is_present`: `as_of` is now, and now is in it.
    """

    as_of: datetime
    settings_version: int
    billing_address: dict[str, str]
    time_zone: str
    mandate_name: str
    ends_at: datetime
    is_present: bool


class Moved(NamedTuple):
    """What entries of one kind together added to the pool, to the users' accounts, or (`is_pool` None) to no balance, in CHF."""

    is_pool: bool | None
    kind: ReferenceType
    amount: Decimal


class Balances(NamedTuple):
    """What a mandate's accounts have now, in CHF, and what holds keep of it; without a pool there is no `pool_id`."""

    pool_id: int | None
    pool: Decimal
    users: Decimal
    pool_held: Decimal
    users_held: Decimal


@dataclass(frozen=True, slots=True)
class HeldNow:
    """What open holds keep of a mandate's balances now, in CHF. A hold is no entry, so no balance, line or usage has any of it."""

    total: Decimal
    pool: Decimal
    users: Decimal


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Usage of one day, of one provider and model, of one feature, or of one user: only these of the names are there; CHF, whole tokens."""

    day: date | None
    provider: str | None
    model: str | None
    feature_code: str | None
    user_id: str | None
    user_name: str | None
    event_count: int
    cost: Decimal
    billed_cost: Decimal
    late_event_count: int
    tokens: list[Decimal]  # by kind, as in `TOKEN_KINDS`


class Scope(NamedTuple):
    """Which entries count: of the mandate, by their local day from `first` to `last`, recorded before `as_of`."""

    mandate_id: str
    first: date
    last: date
    as_of: datetime
