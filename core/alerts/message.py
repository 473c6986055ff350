"""The contracts of published alerts, version 1: of balances, and of caps, which their `kind` tells apart.

`docs/alert-v1.schema.json` and `docs/cap-alert-v1.schema.json` are generated from these models.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from core.billing import AccountType, AlertKind, CapAction, CapDimension, CapPeriod, CapScope

Amount = Annotated[
    Decimal,
    PlainSerializer(lambda amount: format(amount, "f"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{9}$"}),
]


class _Message(BaseModel):
    """What every alert that is published has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def body(self) -> bytes:
        """The message: one JSON object in UTF-8."""
        return self.model_dump_json().encode()


class AlertMessage(_Message):
    """One line that the balance of one account crossed. Amounts are CHF, as decimal strings of nine places."""

    schema_version: Literal[1] = Field(1, description="Of this contract.")
    alert_id: int = Field(ge=1, description="The same in every repetition of this message: forget one whose id was seen.")
    mandate_id: str = Field(description="The billed customer organisation.")
    account_id: int = Field(ge=1, description="The account whose balance it is.")
    account_type: AccountType = Field(description="MANDATE: the mandate's pool. USER: the account of one user.")
    user_id: str | None = Field(description="Whose account it is; null for the pool.")
    kind: AlertKind = Field(description="Which line: the warning threshold, zero, or the credit limit.")
    recovered: bool = Field(description="true: the balance came back over the line. false: it fell to the wrong side.")
    balance_before: Amount = Field(description="Right before the commit that crossed the line, in CHF.")
    balance_after: Amount = Field(description="Right after it, in CHF.")
    threshold: Amount = Field(description="The line itself, in CHF; of a credit limit and its warning a negative balance.")
    recorded_at: datetime = Field(description="When the books recorded the crossing, in UTC.")
    notification_emails: list[str] = Field(description="Whom the mandate wants told, as of the publication.")


class CapAlertMessage(_Message):
    """One share of one window of a cap that its spending reached, or left again. Amounts are CHF, as decimal strings of nine places."""

    schema_version: Literal[1] = Field(1, description="Of this contract.")
    alert_id: int = Field(ge=1, description="As of balance alerts, and out of the same numbers: forget one whose id was seen.")
    mandate_id: str = Field(description="The billed customer organisation.")
    kind: Literal["CAP"] = Field("CAP", description="That it is about a cap; alerts about balances have other kinds.")
    cap_id: int = Field(ge=1, description="The cap.")
    scope: CapScope = Field(description="Whose usage it counts: everybody's together, one user's, or each user's by itself.")
    user_id: str | None = Field(description="Whose window it is; null for that of everybody together.")
    dimension: CapDimension | None = Field(description="What else the usage must be for the cap to count it; null: anything.")
    value: str | None = Field(description="Which provider, model or feature; null without a dimension.")
    period: CapPeriod = Field(description="How long a window is, in the mandate's local days.")
    window_start: date = Field(description="The first local day of the window; 0001-01-01 for TOTAL, which has one window.")
    action: CapAction = Field(description="REFUSE: at its limit the cap refuses checks and holds. ALERT: it tells, and refuses nothing.")
    share: int = Field(ge=1, description="Which share of the limit, in percent.")
    recovered: bool = Field(description="true: spending fell below the share, by an amendment or a higher limit. false: it reached the share.")
    spent_before: Amount = Field(description="Spent in the window right before the commit that tells it, in CHF.")
    spent_after: Amount = Field(description="Right after it, in CHF; the same where it is the limit that has moved.")
    threshold: Amount = Field(description="The share of the limit, in CHF.")
    limit_chf: Amount = Field(description="The limit at that moment, in CHF.")
    recorded_at: datetime = Field(description="When the books recorded it, in UTC.")
    notification_emails: list[str] = Field(description="Whom the mandate wants told, as of the publication.")
