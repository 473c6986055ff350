"""A version of the price book, as it is shown and proposed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Version:
    """A whole book of rows: a proposal against `based_on` until it is accepted, and then never changed.

    `defaults` are {provider: {dimension: value}}; `notes` say what its source holds that no row can express (`refused`), which amounts
    were converted or rounded (`converted`), which rows were gone from the source (`gone`), and which dimensions of which providers have no
    default (`without_default`), so that calls which don't tell them have no price.
    """

    id: int
    based_on: int | None
    source: str
    source_hash: str
    defaults: dict[str, dict[str, str]]
    notes: Mapping[str, Any]
    row_count: int
    proposed_by: str
    proposed_at: datetime
    accepted_by: str | None
    accepted_at: datetime | None
    accepted_revision: int | None
    active: bool
