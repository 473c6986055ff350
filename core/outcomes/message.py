"""The contract of what a producer is told of an event that isn't recorded, version 1; `docs/outcome-v1.schema.json` is generated from it."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.billing import ToldOutcome


class OutcomeMessage(BaseModel):
    """What became of one event that was delivered and not recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(1, description="Of this contract.")
    outcome_id: int = Field(ge=1, description="The same in every repetition of this message: forget one whose id was seen.")
    outcome: ToldOutcome = Field(description="rejected, conflict: a dead letter, for an operator. parked: recorded by itself once it can be.")
    reason: str = Field(description="Of a dead letter one of its reasons; of a parked event what it waits for.")
    detail: str = Field(description="In words, with the field and its value; up to 500 characters.")
    mandate_id: str | None = Field(description="As the event says; null where it can't be read.")
    event_id: str | None = Field(description="As the event says; null where it can't be read.")
    dead_letter_id: int | None = Field(description="The dead letter that holds its bytes; null for a parked event, and where none was kept.")
    recorded_at: datetime = Field(description="When the books decided it, in UTC.")

    def body(self) -> bytes:
        """The message: one JSON object in UTF-8."""
        return self.model_dump_json().encode()
