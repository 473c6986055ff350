"""SQL of opening accounts: each once, together with the grant that it begins with."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.database.packing import packed, unpacked
from core.database.zones import local_day
from core.ledger.kinds import GRANT
from core.ledger.sql.accounts import Holder
from core.money import ZERO

# The accounts come sorted, and `unnest` keeps their order: so two who open the same ones can't wait for each other in a circle. An id just
# drawn has no key of a grant yet; should it have one, nothing is opened. In the row behind the last one each column must have ended.
_OPEN = text(f"""
    WITH opened AS (
        INSERT INTO accounts (mandate_id, user_id, account_type, balance, warning_threshold, grant_due, opened_version)
        SELECT n.mandate_id, n.user_id, CASE WHEN n.user_id IS NULL THEN 'MANDATE' ELSE 'USER' END, n.amount, n.threshold, n.grant_due, n.version
          FROM unnest({unpacked("mandate_ids")}, {unpacked("user_ids")}, {unpacked("amounts", "numeric")}, {unpacked("thresholds", "numeric")},
                      {unpacked("grants_due", "boolean")}, {unpacked("versions", "int")})
               AS n(mandate_id, user_id, amount, threshold, grant_due, version)
         WHERE n.mandate_id IS NOT NULL OR n.user_id IS NOT NULL
        ON CONFLICT (mandate_id, user_id) DO NOTHING
        RETURNING id, mandate_id, user_id, balance, opened_version
    ), granted AS (
        SELECT id, mandate_id, balance AS amount, opened_version AS settings_version, 'grant:' || id AS key FROM opened WHERE balance > 0
    ), keys AS (
        INSERT INTO operation_keys (mandate_id, operation, idempotency_key, content_hash, hash_version)
        SELECT mandate_id, 'grant', key, sha256(convert_to(CAST(amount AS text), 'UTF8')), 1 FROM granted
    ), entries AS (
        INSERT INTO transactions (mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                  operation_key, settings_version, occurred_at, recorded_at, local_date, batch_id)
        SELECT g.mandate_id, g.id, g.id, '{GRANT.transaction_type}', g.amount, '{GRANT.reference_type}', '{GRANT.description}',
               g.key, g.settings_version, now(), now(), {local_day("now()", "s.time_zone")}, :batch_id
          FROM granted g LEFT JOIN LATERAL (SELECT time_zone FROM billing_settings WHERE mandate_id = g.mandate_id OFFSET 0) AS s ON true
    )
    SELECT array_agg(mandate_id ORDER BY id), array_agg(user_id ORDER BY id), array_agg(id ORDER BY id) FROM opened
""")


class Terms(NamedTuple):
    """How an account is opened; amounts in CHF. `grant` is what it begins with, `grant_due` that it may get one later."""

    settings_version: int
    grant_due: bool = False
    grant: Decimal = ZERO
    warning_threshold: Decimal = ZERO


def open_accounts(connection: Connection, accounts: Mapping[Holder, Terms], batch_id: int | None = None) -> dict[Holder, int]:
    """Opens the accounts that don't exist yet, each at the balance of its grant, with the entry and the key of that; returns these alone.

    What an account begins with is told by no alert. A replay opens none.

    Args:
        connection: of a transaction in which the settings of these mandates can't change.
        accounts: of any mandates.
        batch_id: of the batch on whose account grants are written.
    """
    ordered = sorted(accounts, key=lambda holder: (holder[0], holder[1] or ""))
    terms = [accounts[holder] for holder in ordered]
    parameters = {
        "mandate_ids": packed([mandate_id for mandate_id, _ in ordered]),
        "user_ids": packed([user_id for _, user_id in ordered]),
        "amounts": packed([own.grant for own in terms]),
        "thresholds": packed([own.warning_threshold for own in terms]),
        "grants_due": packed([own.grant_due for own in terms]),
        "versions": packed([own.settings_version for own in terms]),
        "batch_id": batch_id,
    }
    mandate_ids, user_ids, account_ids = connection.execute(_OPEN, parameters).one()
    return dict(zip(zip(mandate_ids, user_ids, strict=True), account_ids, strict=True)) if account_ids else {}
