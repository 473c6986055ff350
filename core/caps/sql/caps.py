"""SQL of caps as recording, checks and holds know them."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from core.billing import CapAction, CapDimension, CapPeriod, CapScope
from core.caps.model import Cap, Caps

CAP_COLUMNS = "c.id, c.mandate_id, c.scope, c.user_id, c.dimension, c.value, c.period, c.limit_chf, c.action, c.shares, c.first_day"

# The token in the same statement: what is remembered under it are the caps that it is of.
_LOAD = text(f"""
    SELECT s.caps_token, {CAP_COLUMNS}
      FROM billing_settings s JOIN caps c ON c.mandate_id = s.mandate_id AND c.removed_at IS NULL
     WHERE s.mandate_id = ANY(:mandate_ids) AND s.caps_token IS NOT NULL
""")


def load_caps(connection: Connection, mandate_ids: Collection[str]) -> dict[str, tuple[UUID, Caps]]:
    """The caps of those mandates that have any, each with the token that they are known by."""
    found: dict[str, list[Cap]] = defaultdict(list)
    tokens: dict[str, UUID] = {}
    for row in connection.execute(_LOAD, {"mandate_ids": list(mandate_ids)}):
        tokens[row.mandate_id] = row.caps_token
        found[row.mandate_id].append(cap_of(row))
    return {mandate_id: (tokens[mandate_id], Caps(caps)) for mandate_id, caps in found.items()}


def cap_of(row: Row[Any]) -> Cap:
    """The cap that a row with the `CAP_COLUMNS` tells of."""
    return Cap(
        row.id,
        row.mandate_id,
        CapScope(row.scope),
        row.user_id or None,
        CapDimension(row.dimension) if row.dimension else None,
        row.value or None,
        CapPeriod(row.period),
        row.limit_chf,
        CapAction(row.action),
        tuple(sorted(row.shares)),
        row.first_day,
    )
