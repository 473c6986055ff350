"""Repairing what is held: of each account of a mandate it is what the open holds of those whose usage it pays keep."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.asking.request import Reason, Request
from core.database.database import transaction_time
from core.database.locks import hold_mandates
from core.holds.sql.follow import follow_payer
from core.ledger.hold import whole_settings
from core.movements.movement import under_key
from core.settings.model import MandateSettings


class HeldRepair(Request):
    """The mandate whose open holds are to be held of whoever pays, and why."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class HeldRepaired:
    """How many accounts hold another amount now, who asked for it, why and when."""

    mandate_id: str
    accounts: int
    by: str
    reason: str
    recorded_at: datetime
    repeated: bool = False


def _held_alone(connection: Connection, mandate_id: str) -> MandateSettings:
    hold_mandates(connection, [mandate_id])
    return whole_settings(connection, mandate_id)


@under_key(hold=_held_alone)
def repair_held(connection: Connection, settings: MandateSettings, asked: HeldRepair) -> HeldRepaired:
    """Makes what is held of the mandate's accounts what its open holds keep of them. No balance moves. A replay returns the first result."""
    accounts = follow_payer(connection, asked.mandate_id, settings.billing_model)
    return HeldRepaired(asked.mandate_id, accounts, asked.by, asked.reason, transaction_time(connection))
