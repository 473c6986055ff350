"""SQL of balance alerts: each crossing of a line, written in the transaction that made it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

from core.billing import AlertKind, Crossing
from core.ledger.sql.accounts import LockedAccount
from core.settings.model import BillingSettings

_WRITE = text("""
    INSERT INTO balance_alerts (mandate_id, account_id, kind, recovered, balance_before, balance_after, threshold, settings_version, batch_id)
    VALUES (:mandate_id, :account_id, :kind, :recovered, :balance_before, :balance_after, :threshold, :settings_version, :batch_id)
""")

_LAST = text("SELECT DISTINCT ON (kind) kind, recovered, threshold FROM balance_alerts WHERE account_id = :account_id ORDER BY kind, id DESC")


@dataclass(frozen=True, slots=True)
class BalanceAlert:
    """One crossing by one account; amounts in CHF."""

    account: LockedAccount
    balance_after: Decimal
    crossing: Crossing
    settings: BillingSettings


def write_alerts(connection: Connection, alerts: Sequence[BalanceAlert], batch_id: int | None) -> None:
    """Writes one row per crossing."""
    if not alerts:
        return
    connection.execute(
        _WRITE,
        [
            {
                "mandate_id": a.account.mandate_id,
                "account_id": a.account.id,
                "kind": a.crossing.kind.value,
                "recovered": a.crossing.recovered,
                "balance_before": a.account.balance,
                "balance_after": a.balance_after,
                "threshold": a.crossing.threshold,
                "settings_version": a.settings.version,
                "batch_id": batch_id,
            }
            for a in alerts
        ],
    )


def last_alerts(connection: Connection, account_id: int) -> dict[AlertKind, Decimal]:
    """The lines that the account is beyond, as its last alerts say, with each line's amount (CHF)."""
    return {AlertKind(row.kind): row.threshold for row in connection.execute(_LAST, {"account_id": account_id}) if not row.recovered}
