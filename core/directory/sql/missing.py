"""SQL of what is missing in the books, page by page in the order of a key, so that a page costs the same however much there is."""

from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.database.rows import rows

# OFFSET 0 has what may be missing looked up for each row of a page. Without it a planner that doesn't know how long a page is, or how
# many rows there are, reads the other table whole for each page, or even for each row.

_MANDATES = text("""
    SELECT m.id, m.time_zone, m.enabled AND NOT EXISTS (SELECT FROM billing_settings s WHERE s.mandate_id = m.id OFFSET 0) AS is_missing
      FROM (SELECT id, time_zone, enabled FROM directory_mandates WHERE id > :after ORDER BY id LIMIT :rows_max) AS m
     ORDER BY m.id
""")

# Of the members only those that lack an account come back, as one array of each column.
_MEMBERS = text("""
    SELECT count(*) AS members, (array_agg(m.mandate_id ORDER BY m.place))[count(*)] AS last_mandate_id,
           (array_agg(m.user_id ORDER BY m.place))[count(*)] AS last_user_id,
           array_agg(m.mandate_id ORDER BY m.place) FILTER (WHERE m.is_missing) AS mandate_ids,
           array_agg(m.user_id ORDER BY m.place) FILTER (WHERE m.is_missing) AS user_ids
      FROM (SELECT mandate_id, user_id, row_number() OVER (ORDER BY mandate_id, user_id) AS place,
                   enabled AND EXISTS (SELECT FROM billing_settings s
                                        WHERE s.mandate_id = page.mandate_id AND s.billing_model <> 'UNLIMITED' OFFSET 0)
                           AND NOT EXISTS (SELECT FROM accounts a
                                            WHERE a.mandate_id = page.mandate_id AND a.user_id = page.user_id OFFSET 0) AS is_missing
              FROM (SELECT mandate_id, user_id, enabled FROM directory_memberships WHERE (mandate_id, user_id) > (:mandate_id, :user_id)
                     ORDER BY mandate_id, user_id LIMIT :rows_max) AS page) AS m
""")

_POOLS = text("""
    SELECT s.mandate_id FROM billing_settings s
     WHERE s.mandate_id > :after AND s.billing_model IN ('PREPAY_MANDATE', 'CREDIT_POSTPAY')
       AND NOT EXISTS (SELECT FROM accounts a WHERE a.mandate_id = s.mandate_id AND a.user_id IS NULL OFFSET 0)
     ORDER BY s.mandate_id LIMIT :rows_max
""")

_GRANTS_DUE = text("""
    SELECT a.id AS account_id, a.mandate_id, a.balance FROM accounts a
     WHERE a.id > :after AND a.grant_due
       AND EXISTS (SELECT FROM billing_settings s WHERE s.mandate_id = a.mandate_id AND s.billing_model = 'PREPAY_USER' OFFSET 0)
       AND (:everybody_known OR EXISTS (SELECT FROM directory_memberships m
                                         WHERE m.mandate_id = a.mandate_id AND m.user_id = a.user_id AND m.enabled OFFSET 0))
     ORDER BY a.id LIMIT :rows_max
""")

_NOTHING_DUE = text("UPDATE accounts SET grant_due = false WHERE id IN (SELECT id FROM accounts WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE)")


class Mandate(NamedTuple):
    """A mandate of the directory, and whether it is enabled and has no settings."""

    id: str
    time_zone: str | None
    is_missing: bool


class Members(NamedTuple):
    """Memberships of the directory, some or none: the last of them, and those that are enabled, billed and have no account (mandate id, user id)."""

    last: tuple[str, str] | None
    missing: list[tuple[str, str]]
    is_last: bool  # there are no more


class DueGrant(NamedTuple):
    """An account that waits for its grant, with its balance (CHF); its membership is known by now and its mandate PREPAY_USER."""

    account_id: int
    mandate_id: str
    balance: Decimal


def page_of_mandates(connection: Connection, after: Mandate | None, rows_max: int) -> list[Mandate]:
    """The next mandates of the directory by id."""
    return rows(connection, Mandate, _MANDATES, after=after.id if after else "", rows_max=rows_max)


def page_of_members(connection: Connection, after: tuple[str, str] | None, rows_max: int) -> Members:
    """The next memberships of the directory by mandate and user."""
    mandate_id, user_id = after or ("", "")
    page = connection.execute(_MEMBERS, {"mandate_id": mandate_id, "user_id": user_id, "rows_max": rows_max}).one()
    missing = list(zip(page.mandate_ids or (), page.user_ids or (), strict=True))
    return Members((page.last_mandate_id, page.last_user_id) if page.members else None, missing, page.members < rows_max)


def mandates_without_pool(connection: Connection, after: str | None, rows_max: int) -> list[str]:
    """The next mandates by id whose pool pays and doesn't exist."""
    return list(connection.execute(_POOLS, {"after": after or "", "rows_max": rows_max}).scalars())


def page_of_due_grants(connection: Connection, after: DueGrant | None, rows_max: int, *, everybody_known: bool) -> list[DueGrant]:
    """The next accounts by id whose grant is due and can be made."""
    after_id = after.account_id if after else 0
    return rows(connection, DueGrant, _GRANTS_DUE, after=after_id, rows_max=rows_max, everybody_known=everybody_known)


def clear_grants_due(connection: Connection, account_ids: list[int]) -> None:
    """These accounts wait for no grant any more."""
    connection.execute(_NOTHING_DUE, {"ids": account_ids})
