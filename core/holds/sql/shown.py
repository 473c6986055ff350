"""SQL that shows holds: as they are by the clock, whether the sweep has come by or not."""

from dataclasses import fields

from sqlalchemy import text

from core.billing import HoldState
from core.database.listing import Listing
from core.holds.model import Hold
from core.ledger.sql.held import is_over

_OVER = f"(r.settled_at IS NULL AND {is_over('r')})"
_AS_TOLD = {
    "state": f"CASE WHEN {_OVER} THEN 'EXPIRED' ELSE r.state END AS state",
    "expired": f"CASE WHEN {_OVER} THEN r.amount - r.captured ELSE r.expired END AS expired",
}
_REMAINING = f"CASE WHEN {_OVER} THEN 0.000000000 ELSE r.amount - r.captured - r.released - r.expired END AS remaining"
SHOWN = ", ".join([*(_AS_TOLD.get(field.name, f"r.{field.name}") for field in fields(Hold)), _REMAINING])

_UNBILLED = "r.state = 'EXPIRED' AND r.use_count = 0"
LIST = Listing(
    "holds",
    SHOWN,
    ("mandate_id", "hold_key"),
    ascending=True,
    conditions={
        "user_id": "r.user_id = :user_id",
        "open": f"r.settled_at IS NULL AND NOT {is_over('r')}",
        "expired": f"(r.state = 'EXPIRED' OR {_OVER})",
        "state": "r.state = :state",
    },
)
UNBILLED = Listing(
    "holds",
    "r.mandate_id, r.hold_key, r.user_id, r.amount, r.provider, r.model, r.feature_code, r.authorised_at, r.expires_at, r.settled_at,"
    " extract(epoch FROM clock_timestamp() - r.authorised_at) AS age_seconds",
    ("settled_at", "mandate_id", "hold_key"),
    conditions={"unbilled": _UNBILLED},
)
ONE = text(f"SELECT {SHOWN} FROM holds r WHERE r.mandate_id = :mandate_id AND r.hold_key = :key")


def of_state(state: HoldState | None) -> dict[str, object]:
    """The condition of `LIST` on what has become of a hold by now."""
    match state:
        case None:
            return {}
        case HoldState.OPEN:
            return {"open": True}
        case HoldState.EXPIRED:
            return {"expired": True}
    return {"state": state.value}
