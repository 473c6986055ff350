"""The contract of a published alert, version 1. `docs/alert-v1.schema.json` is generated from this model."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from core.billing import AccountType, AlertKind

Amount = Annotated[
    Decimal,
    PlainSerializer(lambda amount: format(amount, "f"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{9}$"}),
]


class AlertMessage(BaseModel):
    """One line that the balance of one account crossed. Amounts are CHF, as decimal strings of nine places."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    def body(self) -> bytes:
        """The message: one JSON object in UTF-8."""
        return self.model_dump_json().encode()
