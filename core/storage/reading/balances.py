"""SQL that shows balances over many mandates or users: by each mandate's billing model the own ones or the pool's."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

from core.domain.billing import AlertKind, BillingModel, alerts_at
from core.storage.reading.members import memberships_of_user
from core.storage.reading.names import join_mandate, join_user, mandate_name, user_name

_MANDATE_NAME = f"{mandate_name('s.mandate_id')} AS mandate_name"
_WANTED = "(CAST(:mandate_ids AS text[]) IS NULL OR s.mandate_id = ANY(CAST(:mandate_ids AS text[])))"
_POOL_PAYS = "s.billing_model IN ('PREPAY_MANDATE', 'CREDIT_POSTPAY')"

_PAYER = "SELECT a.balance, a.warning_threshold, a.credit_limit FROM accounts a WHERE a.mandate_id = s.mandate_id"

_OF_USER = text(f"""
    SELECT s.mandate_id, {_MANDATE_NAME}, s.billing_model, payer.balance, payer.warning_threshold, payer.credit_limit, s.warning_threshold_percent
      FROM ({memberships_of_user("{} > :after")}) AS own
      JOIN billing_settings s ON s.mandate_id = own.mandate_id
     CROSS JOIN LATERAL ({_PAYER} AND a.user_id = :user_id AND s.billing_model = 'PREPAY_USER'
                         UNION ALL {_PAYER} AND a.user_id IS NULL AND {_POOL_PAYS}) AS payer
      {join_mandate("s.mandate_id")}
     WHERE {_WANTED}
     ORDER BY s.mandate_id LIMIT :limit
""")

_OF_MANDATES = text(f"""
    SELECT s.mandate_id, {_MANDATE_NAME}, s.billing_model,
           CASE s.billing_model WHEN 'UNLIMITED' THEN 0.000000000 WHEN 'PREPAY_USER' THEN users.total
                                ELSE coalesce(pool.balance, 0.000000000) END AS total_balance,
           users.user_count, s.default_user_credit, s.warning_threshold_percent, s.block_on_zero_balance
      FROM (SELECT * FROM billing_settings s WHERE {_WANTED} AND s.mandate_id > :after ORDER BY s.mandate_id LIMIT :limit) AS s
     CROSS JOIN LATERAL (SELECT coalesce(sum(balance), 0.000000000) AS total, count(*) AS user_count
                           FROM accounts WHERE mandate_id = s.mandate_id AND user_id IS NOT NULL) AS users
      LEFT JOIN accounts pool ON pool.mandate_id = s.mandate_id AND pool.user_id IS NULL
      {join_mandate("s.mandate_id")}
     ORDER BY s.mandate_id
""")

# The page is found before the names, so that they are looked up for its rows alone.
_OF_USERS = text(f"""
    SELECT a.id, s.mandate_id, {_MANDATE_NAME}, a.user_id, {user_name("a.user_id")} AS user_name,
           a.balance, a.warning_threshold, a.enabled, s.billing_model, s.warning_threshold_percent
      FROM (SELECT * FROM accounts s
             WHERE s.user_id IS NOT NULL AND {_WANTED} AND (s.mandate_id, s.user_id) > (:after_mandate_id, :after_user_id)
             ORDER BY s.mandate_id, s.user_id LIMIT :limit) AS a
      JOIN billing_settings s ON s.mandate_id = a.mandate_id
      {join_mandate("a.mandate_id")}
      {join_user("a.user_id")}
     ORDER BY a.mandate_id, a.user_id
""")


@dataclass(frozen=True, slots=True)
class UserBalance:
    """What pays for a user's usage in one mandate: the own balance or the pool's, by model; amounts in CHF."""

    mandate_id: str
    mandate_name: str
    billing_model: BillingModel
    balance: Decimal
    warning_threshold: Decimal
    is_warning: bool
    credit_limit: Decimal | None


@dataclass(frozen=True, slots=True)
class MandateBalance:
    """What a mandate has: the sum over its users or the pool, by model, 0 under UNLIMITED; amounts in CHF."""

    mandate_id: str
    mandate_name: str
    billing_model: BillingModel
    total_balance: Decimal
    user_count: int
    default_user_credit: Decimal
    warning_threshold_percent: Decimal
    block_on_zero_balance: bool


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """A user's own account in one mandate; amounts in CHF. It warns only where it pays under the mandate's model."""

    account_id: int
    mandate_id: str
    mandate_name: str
    user_id: str
    user_name: str
    balance: Decimal
    warning_threshold: Decimal
    is_warning: bool
    enabled: bool


def list_balances_of_user(connection: Connection, user_id: str, mandate_ids: list[str] | None, after: str, limit: int) -> list[UserBalance]:
    """One row for each mandate of which the user is an enabled member and whose paying account exists, by mandate id, from after that one on."""
    rows = connection.execute(_OF_USER, {"user_id": user_id, "mandate_ids": mandate_ids, "after": after, "limit": limit})
    return [
        UserBalance(
            row.mandate_id,
            row.mandate_name,
            model := BillingModel(row.billing_model),
            row.balance,
            row.warning_threshold,
            _warns(model, row.balance, row.warning_threshold, row.credit_limit, row.warning_threshold_percent),
            row.credit_limit,
        )
        for row in rows
    ]


def list_mandate_balances(connection: Connection, mandate_ids: list[str] | None, after: str, limit: int) -> list[MandateBalance]:
    """One row for each mandate that has settings, by mandate id, from after that one on."""
    rows = connection.execute(_OF_MANDATES, {"mandate_ids": mandate_ids, "after": after, "limit": limit})
    return [MandateBalance(mandate_id, name, BillingModel(model), *rest) for mandate_id, name, model, *rest in rows]


def list_account_balances(connection: Connection, mandate_ids: list[str] | None, after: tuple[str, str], limit: int) -> list[AccountBalance]:
    """One row for each user account, by mandate and user id, from after that one on."""
    parameters = {"mandate_ids": mandate_ids, "after_mandate_id": after[0], "after_user_id": after[1], "limit": limit}
    return [
        AccountBalance(
            row.id,
            row.mandate_id,
            row.mandate_name,
            row.user_id,
            row.user_name,
            row.balance,
            row.warning_threshold,
            BillingModel(row.billing_model) is BillingModel.PREPAY_USER
            and _warns(BillingModel.PREPAY_USER, row.balance, row.warning_threshold, None, row.warning_threshold_percent),
            row.enabled,
        )
        for row in connection.execute(_OF_USERS, parameters)
    ]


def _warns(model: BillingModel, balance: Decimal, threshold: Decimal, credit_limit: Decimal | None, percent: Decimal) -> bool:
    return AlertKind.WARNING in alerts_at(model, balance, threshold, credit_limit, percent)
