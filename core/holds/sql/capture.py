"""SQL of capture: what usage takes of the holds that it names."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, text

from core.database.packing import packed, unpacked_rows
from core.database.zones import local_day
from core.ledger.sql.held import is_over
from core.ledger.sql.transactions import UsageDebit

_USES = {
    "mandate_id": "text",
    "hold_key": "text",
    "user_id": "text",
    "place": "int",
    "entry_id": "bigint",
    "taken": "numeric",
    "is_open_ended": "boolean",
    "used": "numeric",
    "use_count": "int",
    "after_final": "int",
    "came_at": "timestamptz",
}

# As the hold was before; within one statement, and of one version of its row, each is the same wherever it stands.
_OWN = "h.user_id = d.user_id"
_IS_OVER = is_over("h", "coalesce(d.came_at, :now)")
_LIVE = f"({_OWN} AND h.settled_at IS NULL AND NOT {_IS_OVER})"  # the use came in time
_ENDS = f"({_OWN} AND h.settled_at IS NULL AND {_IS_OVER})"  # the clock has ended it, and nobody has settled it yet
_CLOSES = f"({_LIVE} AND d.is_open_ended IS NOT TRUE)"
_TAKE = "least(h.amount - h.captured, d.taken)"
_USED, _USES_OF = "coalesce(d.used, d.taken)", "coalesce(d.use_count, 1)"

# As it is afterwards. An open hold has captured what was used of it, up to its amount; so that is what it had captured before.
_CAPTURED_BEFORE = f"least(h.amount, h.used - {_USED})"
_SETTLED_NOW = "h.settled_by_id IS NOT DISTINCT FROM d.entry_id"


def _capture(*more: str) -> TextClause:
    """The statement that captures, and tells `more` columns of each hold.

    The uses come in the order of the holds, and each is locked by its own update (see `debit_accounts`), which changes nothing of another
    user's. A hold that the clock has ended meanwhile is settled as the sweep would do it. What came of each comes back as one array of each
    column.
    """
    return text(f"""
    WITH taken AS (
    UPDATE holds h
       SET state = CASE WHEN {_CLOSES} THEN 'CAPTURED' WHEN {_ENDS} THEN 'EXPIRED' ELSE h.state END,
           captured = CASE WHEN {_LIVE} THEN h.captured + {_TAKE} ELSE h.captured END,
           released = CASE WHEN {_CLOSES} THEN h.amount - h.captured - {_TAKE} ELSE h.released END,
           expired = CASE WHEN {_ENDS} THEN h.amount - h.captured ELSE h.expired END,
           settled_at = CASE WHEN {_CLOSES} OR {_ENDS} THEN CAST(:now AS timestamptz) ELSE h.settled_at END,
           settled_by_id = CASE WHEN {_CLOSES} OR {_ENDS} THEN d.entry_id ELSE h.settled_by_id END,
           used = CASE WHEN {_OWN} THEN h.used + {_USED} ELSE h.used END,
           over_hold = CASE WHEN {_LIVE} THEN h.over_hold + d.taken - {_TAKE} ELSE h.over_hold END,
           use_count = CASE WHEN {_OWN} THEN h.use_count + {_USES_OF} ELSE h.use_count END,
           late_count = h.late_count + CASE WHEN {_LIVE} THEN coalesce(d.after_final, 0) WHEN {_OWN} THEN {_USES_OF} ELSE 0 END
      FROM {unpacked_rows(_USES)} AS d
     WHERE h.mandate_id = d.mandate_id AND h.hold_key = d.hold_key
    RETURNING d.place, h.balance_account_id, {_OWN} AS is_own,
              CASE WHEN NOT {_OWN} THEN 0.000000000
                   WHEN h.state = 'OPEN' THEN h.captured - {_CAPTURED_BEFORE}
                   WHEN {_SETTLED_NOW} THEN h.amount - {_CAPTURED_BEFORE} ELSE 0.000000000 END AS freed,
              h.state = 'OPEN' OR {_SETTLED_NOW} AND h.state = 'CAPTURED' AS is_live,
              {_CAPTURED_BEFORE} + d.taken > h.amount AS is_over{"".join(f", h.{name}" for name in more)}
    )
    SELECT {", ".join(f"array_agg({name})" for name in (*_TAKEN, *more))} FROM taken
    """)


_TAKEN, _BY_CAPS = ("place", "balance_account_id", "is_own", "freed", "is_live", "is_over"), ("provider", "model", "feature_code", "local_date")
_CAPTURE, _CAPTURE_COUNTED = _capture(), _capture(*_BY_CAPS)

_FOUND = {
    **dict.fromkeys(("mandate_id", "hold_key", "user_id"), "text"),
    "used": "numeric",
    "use_count": "int",
    "entry_id": "bigint",
    **dict.fromkeys(("provider", "model", "feature_code", "time_zone"), "text"),
}
_WRITE_CAPTURED = text(f"""
    INSERT INTO holds (mandate_id, hold_key, user_id, amount, state, used, use_count, late_count, provider, model, feature_code, local_date,
                       authorised_at, expires_at, settled_at, settled_by_id)
    SELECT d.mandate_id, d.hold_key, d.user_id, 0, 'CAPTURED', d.used, d.use_count, d.use_count - 1, d.provider, d.model, d.feature_code,
           {local_day("CAST(:now AS timestamptz)", "d.time_zone")}, :now, :now, :now, d.entry_id
      FROM {unpacked_rows(_FOUND)} AS d
     WHERE d.mandate_id IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING mandate_id, hold_key
""")


class Use(NamedTuple):
    """What the events of one user in one batch take of the hold that they name; amounts in CHF.

    Attributes:
        mandate_id: whose.
        hold_key: of the hold.
        user_id: whose usage it is.
        first: the debit that came first.
        entry_id: the debit that settles the hold: of the first event that is final, or else of the first.
        taken: the sum up to the first event that is final, and with it.
        is_open_ended: whether none is.
        used: the sum of all of them.
        use_count: how many there are.
        after_final: how many come after the final one.
        came_at: when they came, where that isn't now: they were parked.
    """

    mandate_id: str
    hold_key: str
    user_id: str
    first: UsageDebit
    entry_id: int
    taken: Decimal
    is_open_ended: bool
    used: Decimal
    use_count: int
    after_final: int
    came_at: datetime | None


class Taken(NamedTuple):
    """What a use did to its hold.

    Attributes:
        place: of the use.
        balance_account_id: whose `held` the hold is part of.
        is_own: whether the hold is of the same user; else nothing was done to it.
        freed: what it keeps less than before, in CHF.
        is_live: whether the use came in time for it.
        is_over: whether more was used than it kept, if so.
        provider, model, feature_code, local_date: the hold's own, by which it counts in caps, where that was asked for.
    """

    place: int
    balance_account_id: int | None
    is_own: bool
    freed: Decimal
    is_live: bool
    is_over: bool
    provider: str | None = None
    model: str | None = None
    feature_code: str | None = None
    local_date: date | None = None


def take_from_holds(connection: Connection, uses: Sequence[Use], now: datetime, *, counted: bool) -> list[tuple[Use, Taken]]:
    """Locks the holds in the order of the uses, the same everywhere (mandate, key), and takes of each what its user has used.

    No two uses are of one hold. Those whose hold is not there are left out. Where it is to be `counted` in caps, all that these look at
    comes back.
    """
    mandate_ids, keys, user_ids, _, entry_ids, taken, open_ended, used, counts, after, came = zip(*uses, strict=True)
    columns = {
        "mandate_id": packed(mandate_ids),
        "hold_key": packed(keys),
        "user_id": packed(user_ids),
        "place": packed(range(len(uses))),
        "entry_id": packed(entry_ids),
        "taken": packed(taken),
        "is_open_ended": packed(["t" if one else None for one in open_ended]),
        "used": packed([None if one is other else one for one, other in zip(used, taken, strict=True)]),
        "use_count": packed([None if one == 1 else one for one in counts]),
        "after_final": packed([one or None for one in after]),
        "came_at": packed([None if one is None else one.isoformat() for one in came]),
    }
    found = connection.execute(_CAPTURE_COUNTED if counted else _CAPTURE, {**columns, "now": now}).one()
    return [] if found[0] is None else [(uses[one[0]], Taken(*one)) for one in zip(*found, strict=True)]


def write_captured(connection: Connection, uses: Sequence[Use], now: datetime) -> set[tuple[str, str]]:
    """Writes a settled hold of 0 for those of these uses whose key has none; returns the keys (mandate, key). They are in order.

    Its first event settles it, all others are late.
    """
    about = [(u.mandate_id, u.hold_key, u.user_id, u.used, u.use_count, u.entry_id, *_said(u.first)) for u in uses]
    columns = {name: packed(column) for name, column in zip(_FOUND, zip(*about, strict=True), strict=True)}
    return {(row.mandate_id, row.hold_key) for row in connection.execute(_WRITE_CAPTURED, {**columns, "now": now})}


def _said(debit: UsageDebit) -> tuple[str | None, ...]:
    return debit.event.provider, debit.event.model, debit.event.feature_code, debit.settings.time_zone
