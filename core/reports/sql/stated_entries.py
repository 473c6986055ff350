"""SQL of the entries of a statement: what moved the balances, and what was used, by the local day that it counts for.

An entry counts for its own local day, but a reversal for that of the entry that it takes back, as in the statistics. So an
amended month shows what its usage costs now. Reversals are read off `amendments` as the entry that they take back, with the sign
turned: each takes back all of it. Only what was recorded before `:as_of` is seen.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import TextClause, text

from core.billing import ReferenceType
from core.database.local_days import entries_in_days
from core.directory.sql.names import join_user, user_name
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import COSTS, REFUND, REVERSAL, USAGE
from core.ledger.sql.entry_kinds import is_of
from core.ledger.sql.measured import ENTRIES_AT_ONCE, HAS_ANY_OBJECT, IS_MEASURED, measures, measures_taken_back, taken_apart
from core.ledger.sql.transactions import DELTA

_IS_REVERSAL, _IS_USAGE, _MEASURED = is_of([REVERSAL]), is_of(COSTS), IS_MEASURED.format("t")
_CORRECTION = REVERSAL.reference_type  # of what takes an entry back, and of what takes its place


class Whose(NamedTuple):
    """Whose entries a statement is made of, as conditions on an entry `t`.

    Attributes:
        about: it is about them; goes by an index.
        moved: it may have moved one of their balances; these conditions go by an index each, and exclude each other.
        paid: one of their balances paid for it.
        is_pool: that was the pool's.
        amended: tables of the entries `t` that amendments `m` took back, read from the first to the second.
        amended_at: by which column such an entry is found by when it was recorded.
    """

    about: str
    moved: tuple[str, ...]
    paid: str
    is_pool: str
    amended: str
    amended_at: str


# The event ids say nothing more, but find the amendments of the few entries that are found by their local day.
_SAME_ENTRY = "t.id = m.reversed_id AND t.recorded_at = m.reversed_recorded_at AND t.mandate_id = m.mandate_id AND t.event_id = m.event_id"

MANDATE = Whose(
    about="t.mandate_id = :mandate_id",
    moved=("t.mandate_id = :mandate_id",),
    paid="t.balance_account_id IS NOT NULL",
    is_pool="coalesce(t.balance_account_id = CAST(:pool_id AS bigint), false)",
    amended=f"amendments m JOIN transactions t ON {_SAME_ENTRY}",
    amended_at="m.reversed_recorded_at",
)
# What is on a user's balance is about their account, but for what an operator has booked otherwise (rare, and with an index of its own).
USER = Whose(
    about="t.account_id = :account_id",
    moved=(
        "t.account_id = :account_id",
        f"t.balance_account_id = :account_id AND t.balance_account_id <> t.account_id AND t.reference_type <> '{USAGE.reference_type}'",
    ),
    paid="coalesce(t.balance_account_id = :account_id, false)",
    is_pool="false",
    amended=f"transactions t JOIN amendments m ON {_SAME_ENTRY}",
    amended_at="t.recorded_at",
)

_NAMES = """
    t.local_date, t.account_id, coalesce(t.provider, 'unknown') AS provider, coalesce(t.model, 'unknown') AS model,
    coalesce(t.feature_code, 'unknown') AS feature_code
"""


def _counted(columns: str, of: str) -> str:
    return entries_in_days(columns, f"{of} AND t.recorded_at < :as_of", mandate="t.mandate_id = :mandate_id")


def taken_back(whose: Whose, columns: str, condition: str = "true") -> str:
    """A query for the entries `t` of these days that were taken back."""
    of = f"{whose.about} AND t.mandate_id = :mandate_id AND m.mandate_id = :mandate_id AND m.recorded_at < :as_of AND {condition}"
    return entries_in_days(columns, of, entries=whose.amended, recorded_at=whose.amended_at)


def _moved(whose: Whose, columns: str) -> str:
    """A query for what moved a balance, and for refunds that moved none; without reversals."""
    is_it = f"({whose.paid} OR t.balance_account_id IS NULL AND t.reference_type = '{REFUND.reference_type}') AND NOT {_IS_REVERSAL}"
    return " UNION ALL ".join(_counted(columns, f"{of} AND {is_it}") for of in whose.moved)


def _moved_by_kind(whose: Whose) -> TextClause:
    """What counts for these days and moved a balance, by kind, and refunds that moved none."""
    is_pool = f"CASE WHEN t.balance_account_id IS NOT NULL THEN {whose.is_pool} END"
    return text(f"""
    SELECT is_pool, reference_type AS kind, sum(amount) AS amount FROM (
        {_moved(whose, f"{is_pool} AS is_pool, t.reference_type, {DELTA} AS amount")}
        UNION ALL
        {taken_back(whose, f"{whose.is_pool}, '{_CORRECTION}', t.amount", whose.paid)}
    ) AS moved GROUP BY is_pool, reference_type
    """)


_ITEM = f"t.reference_type NOT IN ('{USAGE.reference_type}', '{_CORRECTION}')"
_IS_TOLD = f"t.reference_type <> '{USAGE.reference_type}'"


def _itemised(whose: Whose) -> TextClause:
    """The same, each entry by itself; usage as one sum, and corrections of usage as one for each day and key."""
    columns = f"""
        CASE WHEN t.balance_account_id IS NOT NULL THEN {whose.is_pool} END AS is_pool, t.reference_type AS kind, {DELTA} AS amount,
        CASE WHEN {_IS_TOLD} THEN t.local_date END AS day, CASE WHEN {_IS_TOLD} THEN t.operation_key END AS key,
        CASE WHEN {_ITEM} THEN t.id END AS transaction_id, CASE WHEN {_ITEM} THEN t.recorded_at END AS recorded_at,
        CASE WHEN {_ITEM} THEN t.balance_account_id END AS payer_id, CASE WHEN {_ITEM} THEN t.created_by_user_id END AS asked_by,
        CASE WHEN {_ITEM} THEN t.description END AS reason, CAST(NULL AS bigint) AS reversal_id
    """
    corrected = f"{whose.is_pool}, '{_CORRECTION}', t.amount, t.local_date, m.idempotency_key, NULL, NULL, NULL, NULL, m.operation, m.reversal_id"
    return text(f"""
    SELECT i.is_pool, i.kind, i.amount, i.day, i.key, i.transaction_id, i.entry_count, a.user_id,
           {user_name("a.user_id")} AS user_name,
           coalesce(i.asked_by, (SELECT created_by_user_id FROM transactions WHERE id = i.reversal_id)) AS asked_by, coalesce(i.reason, '') AS reason
      FROM (SELECT is_pool, kind, day, key, transaction_id, sum(amount) AS amount, count(*) AS entry_count, max(recorded_at) AS recorded_at,
                   max(payer_id) AS payer_id, max(asked_by) AS asked_by, max(reason) AS reason, max(reversal_id) AS reversal_id
              FROM ({_moved(whose, columns)} UNION ALL {taken_back(whose, corrected, whose.paid)}) AS moved
             GROUP BY is_pool, kind, day, key, transaction_id) AS i
      LEFT JOIN accounts a ON a.id = i.payer_id
      {join_user("a.user_id")}
     ORDER BY i.day, i.recorded_at, i.transaction_id, i.key
    """)


def _moved_since(whose: Whose) -> TextClause:
    """What was recorded at `:as_of` or later, of whatever day, and moved a balance, by kind."""
    parts = [
        f"SELECT {whose.is_pool} AS is_pool, t.reference_type AS kind, {DELTA} AS amount FROM transactions t"
        f" WHERE {of} AND t.recorded_at >= :as_of AND {whose.paid}"
        for of in whose.moved
    ]
    return text(f"SELECT is_pool, kind, sum(amount) AS amount FROM ({' UNION ALL '.join(parts)}) AS moved GROUP BY 1, 2")


def _used(whose: Whose) -> TextClause:
    """The usage of these days as amended, added up five times: by day, model, feature, user, and by user, model and feature; dearest first.

    Of the last, the smallest parts, there are `:parts_max` at most: `parts` tells how many there would be.
    """
    tokens = ", ".join(f"t.{name}" for name in TOKEN_KINDS)
    is_event = f"t.reference_type = '{USAGE.reference_type}'"
    used = f"""{_NAMES}, CASE WHEN {is_event} THEN 1 END AS event, t.amount AS cost, CASE WHEN {whose.paid} THEN t.amount END AS billed_cost,
               {tokens}, CASE WHEN {is_event} AND t.recorded_at >= :ends_at THEN 1 END AS late_event"""
    unused = f"""{_NAMES}, NULL, -t.amount, CASE WHEN {whose.paid} THEN -t.amount END,
                 {", ".join(f"-t.{name}" for name in TOKEN_KINDS)}, NULL"""
    return text(f"""
    WITH sums AS (
        SELECT local_date, provider, model, feature_code, account_id, count(event) AS event_count, sum(cost) AS cost,
               coalesce(sum(billed_cost), 0.000000000) AS billed_cost,
               {", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in TOKEN_KINDS)}, count(late_event) AS late_event_count,
               account_id IS NOT NULL AND provider IS NOT NULL AS is_part
          FROM ({_counted(used, f"{whose.about} AND {_IS_USAGE}")}
                UNION ALL
                {taken_back(whose, unused)}) AS used
         GROUP BY GROUPING SETS ((local_date), (provider, model), (feature_code), (account_id), (account_id, provider, model, feature_code))
    ), ranked AS (
        SELECT s.*, row_number() OVER by_cost AS place, count(*) OVER (PARTITION BY s.is_part) AS parts
          FROM sums s WINDOW by_cost AS (PARTITION BY s.is_part ORDER BY s.cost DESC, s.provider, s.model, s.feature_code, s.account_id)
    )
    SELECT s.local_date AS day, s.provider, s.model, s.feature_code, a.user_id,
           {user_name("a.user_id")} AS user_name,
           s.event_count, s.cost, s.billed_cost, s.late_event_count, ARRAY[{", ".join(f"s.{name}" for name in TOKEN_KINDS)}] AS tokens,
           CASE WHEN s.is_part THEN s.parts END AS parts
      FROM ranked s
      LEFT JOIN accounts a ON a.id = s.account_id
      LEFT JOIN directory_users u ON u.id = a.user_id
     WHERE NOT s.is_part OR s.place <= :parts_max
     ORDER BY s.cost DESC, s.local_date, s.provider, s.model, s.feature_code, a.user_id
    """)


def _measured(whose: Whose, *, costs: bool) -> TextClause:
    """What that usage was by class, by model; with what the providers charge, or without."""
    columns = f"{_NAMES}, t.id / {ENTRIES_AT_ONCE} AS part"
    return text(f"""
    SELECT u.provider, u.model, m.measure, m.currency, trim_scale(sum(m.total)) AS total
      FROM (SELECT provider, model, string_agg(measures, ',') AS measures
              FROM ({_counted(f"{columns}, {measures('t', costs=costs)} AS measures", f"{whose.about} AND {_IS_USAGE} AND {_MEASURED}")}
                    UNION ALL
                    {taken_back(whose, f"{columns}, {measures_taken_back('t', costs=costs)} AS measures", _MEASURED)}) AS used
             WHERE {HAS_ANY_OBJECT}
             GROUP BY provider, model, part) AS u
     CROSS JOIN LATERAL ({taken_apart("u.measures")}) AS m
     GROUP BY 1, 2, 3, 4 HAVING sum(m.total) <> 0
     ORDER BY 1, 2, 3, 4
    """)


class Statements(NamedTuple):
    """The queries about entries of one kind of statement; `measured` with costs or without."""

    moved: TextClause
    itemised: TextClause
    moved_since: TextClause
    used: TextClause
    measured: dict[bool, TextClause]


def _statements(whose: Whose) -> Statements:
    measured = {costs: _measured(whose, costs=costs) for costs in (False, True)}
    return Statements(_moved_by_kind(whose), _itemised(whose), _moved_since(whose), _used(whose), measured)


OF_MANDATE, OF_USER = _statements(MANDATE), _statements(USER)


def statements_for(account_id: int | None) -> Statements:
    """Those of a user's account, or of a whole mandate."""
    return OF_MANDATE if account_id is None else OF_USER


class Moved(NamedTuple):
    """What entries of one kind together added to the pool, to the users' accounts, or (`is_pool` None) to no balance, in CHF."""

    is_pool: bool | None
    kind: ReferenceType
    amount: Decimal


class Item(NamedTuple):
    """One entry that moved a balance; or (without `day`) all usage; or (without `transaction_id`) corrections of a day's usage under one key."""

    is_pool: bool | None
    kind: ReferenceType
    amount: Decimal
    day: date | None
    key: str | None
    transaction_id: int | None
    entry_count: int
    user_id: str | None
    user_name: str | None
    asked_by: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Usage of one day, of one provider and model, of one feature, of one user, or of a user, model and feature; CHF, whole tokens.

    Only these of the names are there.
    """

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
    parts: int | None  # how many there are of a user, model and feature
