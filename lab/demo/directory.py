"""Who uses AI in the demo: four mandates, one for each billing model, with ten users each.

Two pay computed prices, one is in shadow. A fifth one, brook, has holds and a cap.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.directory.import_lists import import_directory
from core.directory.sql.mirror import Mandate, Membership, User
from core.movements.update_settings import update_settings
from core.prices.model import Mode


@dataclass(frozen=True, slots=True)
class DemoMandate:
    """A mandate of the demo."""

    id: str
    label: str
    billing_model: BillingModel
    time_zone: str
    mode: Mode


MANDATES = (
    DemoMandate("alpenblick", "Alpenblick Treuhand AG", BillingModel.PREPAY_USER, "Europe/Zurich", Mode.COMPUTED),
    DemoMandate("harbour", "Harbour Analytics LLC", BillingModel.PREPAY_MANDATE, "America/New_York", Mode.COMPUTED),
    DemoMandate("sakura", "Sakura Logistics KK", BillingModel.CREDIT_POSTPAY, "Asia/Tokyo", Mode.SHADOW),
    DemoMandate("ganga", "Ganga Research Institute", BillingModel.UNLIMITED, "Asia/Kolkata", Mode.GIVEN),
)
_NAMES = ("Ada", "Ben", "Chen", "Dana", "Emil", "Fatima", "Goran", "Hana", "Ivo", "Jana")
USERS = {mandate.id: [f"{name.lower()}@{mandate.id}" for name in _NAMES] for mandate in MANDATES}
_AHEAD = 12 - datetime.now(UTC).hour  # of UTC, in hours: where it is some time after noon, so that a day's cap doesn't open in the middle of it
BROOK = DemoMandate("brook", "Brook Studios GmbH", BillingModel.PREPAY_USER, f"Etc/GMT{-_AHEAD:+d}" if _AHEAD else "Etc/GMT", Mode.GIVEN)
CREDIT_OF_BROOK = Decimal(1)  # CHF, of each user
USERS[BROOK.id] = [f"{name.lower()}@{BROOK.id}" for name in _NAMES[:3]]


def open_books(database: Database, config: Configuration) -> None:
    """The directory knows the mandates and their users, and each mandate has its billing model. Repeatable before the first transaction."""
    import_directory(
        database,
        ROOT,
        mandates=[Mandate(m.id, m.id, m.label, enabled=True, time_zone=m.time_zone) for m in (*MANDATES, BROOK)],
        memberships=[Membership(user, mandate_id, enabled=True) for mandate_id, users in USERS.items() for user in users],
        users=[User(user, user, user.partition("@")[0].capitalize()) for users in USERS.values() for user in users],
    )
    update_settings(database, ROOT, BROOK.id, {"default_user_credit": str(CREDIT_OF_BROOK)}, changed_by="demo", config=config)
    for mandate in MANDATES:
        update_settings(database, ROOT, mandate.id, {"billing_model": mandate.billing_model.value}, changed_by="demo", config=config)
