"""SQL that shows balances over many mandates or users: by each mandate's billing model the own ones or the pool's."""

from sqlalchemy import text

from core.directory.sql.members import memberships_of_user
from core.directory.sql.names import join_mandate, join_user, mandate_name, user_name
from core.ledger.sql.held import CLOCK, held_now, held_together, kept_of_users

_MANDATE_NAME = f"{mandate_name('s.mandate_id')} AS mandate_name"
_WANTED = "(CAST(:mandate_ids AS text[]) IS NULL OR s.mandate_id = ANY(CAST(:mandate_ids AS text[])))"
_POOL_PAYS = "s.billing_model IN ('PREPAY_MANDATE', 'CREDIT_POSTPAY')"

_PAYER = "SELECT a.id, a.mandate_id, a.balance, a.held, a.warning_threshold, a.credit_limit FROM accounts a WHERE a.mandate_id = s.mandate_id"

OF_USER = text(f"""
    SELECT s.mandate_id, {_MANDATE_NAME}, s.billing_model, payer.balance, {held_now("payer", CLOCK)} AS held,
           payer.warning_threshold, payer.credit_limit, s.warning_threshold_percent
      FROM ({memberships_of_user("{} > :after")}) AS own
      JOIN billing_settings s ON s.mandate_id = own.mandate_id
     CROSS JOIN LATERAL ({_PAYER} AND a.user_id = :user_id AND s.billing_model = 'PREPAY_USER'
                         UNION ALL {_PAYER} AND a.user_id IS NULL AND {_POOL_PAYS}) AS payer
      {join_mandate("s.mandate_id")}
     WHERE {_WANTED}
     ORDER BY s.mandate_id LIMIT :limit
""")

_HELD_OF_USERS = held_together("users.held", "s.mandate_id", kept_of_users("pool.id"), CLOCK)
OF_MANDATES = text(f"""
    SELECT s.mandate_id, {_MANDATE_NAME}, s.billing_model,
           CASE s.billing_model WHEN 'UNLIMITED' THEN 0.000000000 WHEN 'PREPAY_USER' THEN users.total
                                ELSE coalesce(pool.balance, 0.000000000) END AS total_balance,
           CASE s.billing_model WHEN 'UNLIMITED' THEN 0.000000000 WHEN 'PREPAY_USER' THEN {_HELD_OF_USERS}
                                ELSE coalesce({held_now("pool", CLOCK)}, 0.000000000) END AS held, pool.credit_limit,
           users.user_count, s.default_user_credit, s.warning_threshold_percent, s.block_on_zero_balance
      FROM (SELECT * FROM billing_settings s WHERE {_WANTED} AND s.mandate_id > :after ORDER BY s.mandate_id LIMIT :limit) AS s
     CROSS JOIN LATERAL (SELECT coalesce(sum(balance), 0.000000000) AS total, coalesce(sum(held), 0.000000000) AS held, count(*) AS user_count
                           FROM accounts WHERE mandate_id = s.mandate_id AND user_id IS NOT NULL) AS users
      LEFT JOIN accounts pool ON pool.mandate_id = s.mandate_id AND pool.user_id IS NULL
      {join_mandate("s.mandate_id")}
     ORDER BY s.mandate_id
""")

# The page is found before the names, so that they are looked up for its rows alone.
OF_USERS = text(f"""
    SELECT a.id AS account_id, s.mandate_id, {_MANDATE_NAME}, a.user_id, {user_name("a.user_id")} AS user_name,
           a.balance, {held_now("a", CLOCK)} AS held, a.warning_threshold, a.enabled, s.billing_model, s.warning_threshold_percent
      FROM (SELECT * FROM accounts s
             WHERE s.user_id IS NOT NULL AND {_WANTED} AND (s.mandate_id, s.user_id) > (:after_mandate_id, :after_user_id)
             ORDER BY s.mandate_id, s.user_id LIMIT :limit) AS a
      JOIN billing_settings s ON s.mandate_id = a.mandate_id
      {join_mandate("a.mandate_id")}
      {join_user("a.user_id")}
     ORDER BY a.mandate_id, a.user_id
""")

# Candidates are the accounts that an alert told of, kept by the index of `crossed_lines` in the order of their ids; each is judged again, since
# one that no longer pays stays there. Names are looked up for the page alone.
LOW = text(f"""
    SELECT a.id AS account_id, a.mandate_id, {mandate_name("a.mandate_id")} AS mandate_name, a.user_id,
           CASE WHEN a.user_id IS NOT NULL THEN {user_name("a.user_id")} END AS user_name, a.billing_model,
           a.balance, {held_now("a", CLOCK)} AS held, a.warning_threshold, a.credit_limit, a.warning_threshold_percent
      FROM (SELECT a.*, s.billing_model, s.warning_threshold_percent
              FROM crossed_lines c
              JOIN accounts a ON a.id = c.account_id
              JOIN billing_settings s ON s.mandate_id = a.mandate_id
             WHERE c.kind = 'WARNING' AND c.account_id > :after
               AND (CAST(:mandate_ids AS text[]) IS NULL OR a.mandate_id = ANY(CAST(:mandate_ids AS text[])))
               AND CASE WHEN (s.billing_model, a.account_type) IN (('PREPAY_USER', 'USER'), ('PREPAY_MANDATE', 'MANDATE'))
                        THEN a.balance <= a.warning_threshold
                        WHEN (s.billing_model, a.account_type) = ('CREDIT_POSTPAY', 'MANDATE')
                        THEN greatest(-a.balance, 0) >= a.credit_limit * (1 - s.warning_threshold_percent / 100) END
             ORDER BY c.account_id LIMIT :limit) AS a
      {join_mandate("a.mandate_id")}
      {join_user("a.user_id")}
     ORDER BY a.id
""")
