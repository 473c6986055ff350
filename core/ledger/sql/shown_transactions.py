"""SQL that shows transactions, newest first, with the names of their mandate and of who acted.

Each query reads, for every account or mandate that it is about, no more than the page can need.
"""

from sqlalchemy import TextClause, text

from core.database.event_columns import CALL_COLUMNS, TEXT_COLUMNS, columns
from core.database.local_days import ANYBODYS, AT, entries_in_days
from core.directory.sql.names import join_mandate, join_user, mandate_name, user_name
from core.events.model import TOKEN_KINDS
from core.ledger.kinds import COSTS, USAGE
from core.ledger.sql.entry_kinds import is_of

_PRICED = ("price_computed", "provider_currency", "leaves", "unpriced", "stamp_id")
PRICE_OF_PRODUCER = f"CASE WHEN {{0}}.stamp_id IS NOT NULL THEN {{0}}.price_given WHEN {is_of(COSTS, '{0}')} THEN {{0}}.amount END"
# The usage object as it came, in canonical JSON.
USAGE_OBJECT = """CASE WHEN {0}.usage_shape IS NOT NULL
    THEN (SELECT format(u.shape, VARIADIC string_to_array({0}.usage_values, E'\\n')) FROM usage_shapes u WHERE u.id = {0}.usage_shape) END"""

# The acting user wins over the account's: an operator's movement on somebody's account was made by the operator.
_SHOWN = f"""
    SELECT t.id, t.mandate_id, {mandate_name("t.mandate_id")} AS mandate_name, t.event_id,
           t.account_id, a.account_type, a.user_id AS account_user_id, coalesce(t.created_by_user_id, a.user_id) AS user_id,
           {user_name("t.created_by_user_id", "a.user_id")} AS user_name, t.balance_account_id,
           t.transaction_type, t.amount, t.reference_type, {columns("t", (*TEXT_COLUMNS, *TOKEN_KINDS))},
           t.occurred_at, t.recorded_at, t.local_date, t.settings_version, t.batch_id, t.reverses_id, t.operation_key,
           {columns("t", (*CALL_COLUMNS, *_PRICED))}, {PRICE_OF_PRODUCER.format("t")} AS price_given, trim_scale(t.provider_cost) AS provider_cost
"""
_NAMES = f"""
      LEFT JOIN LATERAL (SELECT * FROM accounts WHERE id = t.account_id OFFSET 0) AS a ON true
      {join_mandate("t.mandate_id")} {join_user("coalesce(t.created_by_user_id, a.user_id)")}
"""
_BEFORE_TIME = "coalesce(CAST(:before_time AS timestamptz), 'infinity')"
_BEFORE_ID = "coalesce(CAST(:before_id AS bigint), 9223372036854775807)"
_BEFORE = f"(t.recorded_at, t.id) < ({_BEFORE_TIME}, {_BEFORE_ID})"
_NEWEST = "ORDER BY t.recorded_at DESC, t.id DESC LIMIT"
_BEFORE_OF_ALL = f"({AT}, t.id) < ({_BEFORE_TIME} AT TIME ZONE 'UTC', {_BEFORE_ID})"
_NEWEST_OF_ALL = f"ORDER BY {AT} DESC, t.id DESC LIMIT"

_ACCOUNTS_MANY = 1_000  # so many accounts of one user that looking at an entry of each costs more than looking at the newest of all
_NEWEST_LOOKED_AT = 20_000
_Statements = dict[bool, TextClause]

# Whose entries: rows `h`, and the condition under which an entry is of such a row.
_ACCOUNT = """
    SELECT a.id, a.mandate_id, a.user_id IS NULL AND EXISTS (SELECT FROM billing_settings_history s WHERE s.mandate_id = a.mandate_id
                                                                AND s.billing_model IN ('PREPAY_MANDATE', 'CREDIT_POSTPAY')) AS pays_for_others
      FROM accounts a WHERE a.id = :account_id
"""
_USER = "SELECT a.id, a.mandate_id FROM accounts a WHERE a.user_id = :user_id"
_USER_IN_MANDATES = """
    SELECT a.id, a.mandate_id FROM unnest(CAST(:mandate_ids AS text[])) AS m(id)
     CROSS JOIN LATERAL (SELECT * FROM accounts WHERE mandate_id = m.id AND user_id = :user_id OFFSET 0) AS a
"""
_MANDATE = "SELECT s.mandate_id FROM billing_settings s WHERE s.mandate_id = ANY(:mandate_ids)"
_ABOUT_ACCOUNT = "t.account_id = h.id"
_OF_MANDATE = "t.mandate_id = h.mandate_id"

# As a CASE, it looks to the planner as if half of the entries were on the balance, which is near the truth: taken for rare, they
# would all be read and sorted, and not only as many as the page needs.
_IT_PAYS = "CASE WHEN t.balance_account_id = h.id THEN true ELSE false END"

# What is on a balance and about its account, what is about another one (rare, and with an index of its own), and the usage that a pool pays.
_ON_BALANCE = (
    f"{_ABOUT_ACCOUNT} AND {_IT_PAYS}",
    f"t.balance_account_id = h.id AND t.balance_account_id <> t.account_id AND t.reference_type <> '{USAGE.reference_type}'",
    f"{_OF_MANDATE} AND {_IT_PAYS} AND t.reference_type = '{USAGE.reference_type}' AND h.pays_for_others",
)


def _newest(conditions: tuple[str, ...], limit: str, *, ranged: bool) -> str:
    """A query for the newest entries under any of the conditions, which exclude each other."""
    ending = f"AND {_BEFORE} {_NEWEST} {limit}"
    if ranged:
        parts = [entries_in_days("t.*", of, ending, mandate=_OF_MANDATE) for of in conditions]
    else:
        parts = [f"(SELECT t.* FROM transactions t WHERE {of} {ending})" for of in conditions]
    return f"SELECT t.* FROM ({' UNION ALL '.join(parts)}) AS t {_NEWEST} {limit}"


def _shown(entries: str, newest: str = _NEWEST) -> TextClause:
    """A query that shows the newest of these entries `t`, found by this order; names are looked up for the page alone."""
    return text(f"{_SHOWN} FROM (SELECT t.* FROM {entries} {newest} :limit) AS t {_NAMES} {_NEWEST} :limit")


def _of_holders(holders: str, *conditions: str) -> _Statements:
    """The query for the newest entries of the holders, without and with a range of days."""
    return {ranged: _shown(f"({holders}) AS h CROSS JOIN LATERAL ({_newest(conditions, ':limit', ranged=ranged)}) AS t") for ranged in (False, True)}


def _of_many(holders: str, condition: str) -> _Statements:
    """As `_of_holders`. Only the holders with the newest entries can be on the page, so of all the others one entry is looked at."""
    nearest = {
        ranged: f"SELECT h.* FROM ({holders}) AS h CROSS JOIN LATERAL ({_newest((condition,), '1', ranged=ranged)}) AS t {_NEWEST} :limit"
        for ranged in (False, True)
    }
    return {ranged: _of_holders(nearest[ranged], condition)[ranged] for ranged in (False, True)}


# Of a user with very many accounts: theirs among the newest entries of all, each of which is looked up. Nothing of other users.
AMONG_NEWEST = _shown(
    f"""
    (SELECT t.*, {AT} AS at FROM transactions t
      WHERE (SELECT count(*) FROM (SELECT FROM accounts WHERE user_id = :user_id LIMIT {_ACCOUNTS_MANY}) AS a) = {_ACCOUNTS_MANY} AND {_BEFORE_OF_ALL}
      {_NEWEST_OF_ALL} {_NEWEST_LOOKED_AT}) AS t
     WHERE (SELECT a.user_id = :user_id FROM accounts a WHERE a.id = t.account_id)
    """,
    "ORDER BY t.at DESC, t.id DESC LIMIT",
)

# Each without and with a range of days.
NEWEST = {
    "about_account": _of_holders(_ACCOUNT, _ABOUT_ACCOUNT),
    "on_balance": _of_holders(_ACCOUNT, *_ON_BALANCE),
    "about_user": _of_many(_USER, _ABOUT_ACCOUNT),
    "about_user_in_mandates": _of_many(_USER_IN_MANDATES, _ABOUT_ACCOUNT),
    "of_mandates": _of_many(_MANDATE, _OF_MANDATE),
    "of_all": {
        False: _shown(f"(SELECT t.* FROM transactions t WHERE {_BEFORE_OF_ALL}) AS t", _NEWEST_OF_ALL),
        True: _shown(f"({entries_in_days('t.*', ANYBODYS, f'AND {_BEFORE_OF_ALL} {_NEWEST_OF_ALL} :limit')}) AS t"),
    },
}
WITH_IDS = text(f"{_SHOWN} FROM transactions t {_NAMES} WHERE t.id = ANY(:ids) ORDER BY t.id")
