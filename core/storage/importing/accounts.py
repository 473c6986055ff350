"""SQL of imported settings and accounts: opened as given, taken over with their balances, read back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from core.storage.importing.entries import Sums, sums
from core.storage.packing import packed, unpacked

_LOCK_ID = 0x70_12

_BEGIN = text("SELECT pg_try_advisory_xact_lock(:lock_id) AS alone, now() AS begun_at")

_SETTINGS = {
    "mandate_id": "text",
    "billing_model": "text",
    "default_user_credit": "numeric",
    "warning_threshold_percent": "numeric",
    "block_on_zero_balance": "boolean",
    "notify_on_warning": "boolean",
    "notification_emails": "text[]",
    "billing_address": "jsonb",
    "time_zone": "text",
}

_OPEN_SETTINGS = text(f"""
    WITH opened AS (
        INSERT INTO billing_settings ({", ".join(_SETTINGS)})
        SELECT {", ".join(_SETTINGS)}
          FROM jsonb_to_recordset(CAST(:settings AS jsonb)) AS g({", ".join(f"{name} {kind}" for name, kind in _SETTINGS.items())})
         ORDER BY mandate_id COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING *
    )
    INSERT INTO billing_settings_history ({", ".join(_SETTINGS)}, version, changed_by)
    SELECT {", ".join(_SETTINGS)}, version, :changed_by FROM opened
    RETURNING mandate_id
""")

_VERSIONS = text(f"SELECT {', '.join(_SETTINGS)} FROM billing_settings_history WHERE mandate_id = ANY(:mandate_ids) ORDER BY mandate_id, version")

# An account's grant is what one that was opened before the import began with.
_GRANT = """
      LEFT JOIN operation_keys g ON g.mandate_id = a.mandate_id AND g.operation = 'grant' AND g.idempotency_key = 'grant:' || a.id
      LEFT JOIN transactions granted ON granted.account_id = a.id AND granted.recorded_at = g.recorded_at
                                    AND granted.reference_type = 'SYSTEM' AND granted.balance_account_id = a.id
"""

_STANDING = text(f"""
    SELECT a.id, a.opened_at = now() AS is_new, coalesce(granted.amount, 0) AS granted
      FROM accounts a {_GRANT} WHERE a.id = ANY(:ids)
""")

_TAKE_OVER = text(f"""
    UPDATE accounts a
       SET balance = n.balance, warning_threshold = n.warning_threshold, credit_limit = coalesce(n.credit_limit, a.credit_limit),
           enabled = coalesce(n.enabled, a.enabled), grant_due = false
      FROM unnest({unpacked("ids", "bigint")}, {unpacked("balances", "numeric")}, {unpacked("thresholds", "numeric")},
                  {unpacked("limits", "numeric")}, {unpacked("enabled", "boolean")}) AS n(id, balance, warning_threshold, credit_limit, enabled)
     WHERE a.id = n.id
""")

_OPENINGS = text(f"""
    SELECT a.mandate_id, count(*), coalesce(sum(coalesce(t.amount, 0) + coalesce(granted.amount, 0)), 0)
      FROM unnest({unpacked("ids", "bigint")}, {unpacked("keys")}) AS wanted(id, key)
      JOIN accounts a ON a.id = wanted.id
      JOIN operation_keys k ON k.mandate_id = a.mandate_id AND k.operation = :operation AND k.idempotency_key = wanted.key
      LEFT JOIN transactions t ON t.id = CAST(k.result ->> 'transaction_id' AS bigint) AND t.recorded_at = k.recorded_at
                              AND t.balance_account_id = a.id
      {_GRANT}
     GROUP BY a.mandate_id
""")


class TakenOver(NamedTuple):
    """An account as it is to stand; amounts in CHF. What is None stays."""

    id: int
    balance: Decimal
    warning_threshold: Decimal
    credit_limit: Decimal | None
    enabled: bool | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether this transaction opened the account, and the grant (CHF) that it got before."""

    is_new: bool
    granted: Decimal


def begin_import(connection: Connection) -> datetime | None:
    """The time that everything in this transaction is recorded at; none if another import is under way."""
    row = connection.execute(_BEGIN, {"lock_id": _LOCK_ID}).one()
    return row.begun_at if row.alone else None


def open_given_settings(connection: Connection, settings: Sequence[Mapping[str, object]], changed_by: str) -> set[str]:
    """Opens each mandate's settings as given (amounts as text in CHF), version 1; returns the mandates that had none before."""
    made = connection.execute(_OPEN_SETTINGS, {"settings": json.dumps(list(settings)), "changed_by": changed_by})
    return set(made.scalars())


def settings_versions(connection: Connection, mandate_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Every version of these mandates' settings, the newest last."""
    versions: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(_VERSIONS, {"mandate_ids": list(mandate_ids)}).mappings():
        versions.setdefault(row["mandate_id"], []).append(dict(row))
    return versions


def standing_of(connection: Connection, account_ids: Sequence[int]) -> dict[int, Standing]:
    """How these accounts came to be, by id."""
    return {row.id: Standing(row.is_new, row.granted) for row in connection.execute(_STANDING, {"ids": list(account_ids)})}


def take_over_accounts(connection: Connection, accounts: Sequence[TakenOver]) -> None:
    """Sets accounts that the caller has locked, and marks none of them for a grant; he writes the entries that explain the balances."""
    columns = zip(("ids", "balances", "thresholds", "limits", "enabled"), zip(*accounts, strict=True), strict=True)
    connection.execute(_TAKE_OVER, {name: packed(values) for name, values in columns})


def sum_openings(connection: Connection, operation: str, keys: Mapping[int, str]) -> Sums:
    """Per mandate how many of the accounts (id to key) were taken over, and what they were opened with: grant and opening entry."""
    return sums(connection, _OPENINGS, ids=packed(keys), keys=packed(keys.values()), operation=operation)
