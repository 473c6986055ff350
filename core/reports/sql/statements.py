"""SQL of statements: whose they are, under which settings, and what the balances are now. Entries: `core.reports.sql.stated_entries`."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text

from core.database.zones import first_moment, local_day
from core.directory.sql.names import join_user, mandate_name, user_name
from core.ledger.sql.held import CLOCK, held_now, held_together, kept_of_users

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

# The same of a user's account alone, as if there were no pool.
BALANCES_OF_USER = text(f"""
    SELECT CAST(NULL AS bigint) AS pool_id, 0.000000000 AS pool, a.balance AS users,
           0.000000000 AS pool_held, {held_now("a", CLOCK)} AS users_held
      FROM accounts a WHERE a.id = :account_id
""")

USER = text(f"""
    SELECT a.id, {user_name("a.user_id")} AS user_name FROM accounts a {join_user("a.user_id")}
     WHERE a.mandate_id = :mandate_id AND a.user_id = :user_id
""")

# The mandates with billing settings, and the users with accounts, by id: who may have a statement.
MANDATES = text("""
    SELECT mandate_id FROM billing_settings
     WHERE CAST(:mandate_ids AS text[]) IS NULL OR mandate_id = ANY(:mandate_ids) ORDER BY mandate_id
""")
USERS = text("SELECT user_id FROM accounts WHERE mandate_id = :mandate_id AND user_id IS NOT NULL ORDER BY user_id")
NOW = text("SELECT now()")

# Before entries are read: a month of a large mandate is summed up without a file; compiling the statement would take longer than running it.
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


class Scope(NamedTuple):
    """Which entries count: of the mandate, or in it of the user with this account; by local day from `first` to `last`, recorded before `as_of`."""

    mandate_id: str
    first: date
    last: date
    as_of: datetime
    account_id: int | None = None
