"""SQL of authorising: holds written, or found under their keys, judged by what is there once their payers are locked, and taken back."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from core.billing import HoldState
from core.checks.model import HeldBalance
from core.database.packing import packed, unpacked, unpacked_rows
from core.database.zones import local_day
from core.ledger.sql.held import CLOCK, OWN_HOLD, held_now, is_over

HoldKey = tuple[str, str]  # mandate id, hold key

_PRICED_AT = text(f"SELECT {CLOCK} AS now, (SELECT token FROM price_state WHERE one) AS prices_token")

_TEXTS = dict.fromkeys(("mandate_id", "hold_key", "user_id", "provider", "model", "feature_code", "time_zone", "content_hash"), "text")
_COLUMNS = {**_TEXTS, "balance_account_id": "bigint", "amount": "numeric", "price_version": "bigint", "ttl_seconds": "int"}

# As in a recording transaction, what comes after it is looked up by its keys, whatever the planner knows of the tables.
BY_KEYS = ", ".join(f"set_config('{name}', 'off', true)" for name in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan", "jit"))
# Planning for the parameters at hand would take longer than what is planned, and find nothing else.
_PLANNED_ONCE = "set_config('plan_cache_mode', 'force_generic_plan', true)"

# The rows come in the order of their keys, the same everywhere, so that two who ask for the same keys don't wait for each other in a circle.
# The accounts are locked once all of them are written: how many there are has to be known first.
_WRITE = text(f"""
    WITH written AS (
        INSERT INTO holds (mandate_id, hold_key, user_id, balance_account_id, amount, provider, model, feature_code, price_version, local_date,
                           authorised_at, expires_at, content_hash)
        SELECT d.mandate_id, d.hold_key, d.user_id, d.balance_account_id, d.amount, d.provider, d.model, d.feature_code, d.price_version,
               {local_day("n.now", "d.time_zone")}, n.now, n.now + make_interval(secs => d.ttl_seconds), decode(d.content_hash, 'hex')
          FROM (SELECT {CLOCK} AS now, {BY_KEYS}, {_PLANNED_ONCE} OFFSET 0) AS n CROSS JOIN {unpacked_rows(_COLUMNS)} AS d
         WHERE d.mandate_id IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING mandate_id, hold_key, local_date, expires_at
    ), locked AS (
        SELECT id FROM accounts WHERE id = ANY(:payers) AND (SELECT count(*) FROM written) >= 0 ORDER BY id FOR NO KEY UPDATE
    )
    SELECT written.* FROM (SELECT count(*) FROM locked) AS payers CROSS JOIN written
""")

_FIND = text(f"""
    SELECT h.*
      FROM {unpacked_rows({"mandate_id": "text", "hold_key": "text"})} AS wanted
     CROSS JOIN LATERAL (
           SELECT ho.mandate_id, ho.hold_key, ho.amount, ho.expires_at, ho.content_hash,
                  CASE WHEN ho.settled_at IS NULL AND {is_over("ho", CLOCK)} THEN 'EXPIRED' ELSE ho.state END AS state
             FROM holds ho WHERE ho.mandate_id = wanted.mandate_id AND ho.hold_key = wanted.hold_key OFFSET 0) AS h
""")

# The time is read once the accounts are locked, and so is what is held. What this transaction has written isn't part of `held` yet.
_STANDING = text(f"""
    SELECT n.now, a.id, a.mandate_id, a.enabled, a.balance, a.credit_limit, {held_now("a", "n.now", OWN_HOLD)} AS held
      FROM (SELECT {CLOCK} AS now OFFSET 0) AS n LEFT JOIN accounts a ON a.id = ANY(:ids)
""")

_TAKE_BACK = text(f"""
    DELETE FROM holds h USING {unpacked_rows({"mandate_id": "text", "hold_key": "text"})} AS d
     WHERE h.mandate_id = d.mandate_id AND h.hold_key = d.hold_key
""")

# The caller has locked the accounts.
_ADD_HELD = text(f"""
    UPDATE accounts a SET held = greatest(a.held + d.amount, 0)
      FROM unnest({unpacked("ids", "bigint")}, {unpacked("amounts", "numeric")}) AS d(id, amount) WHERE a.id = d.id
""")


class PricedAt(NamedTuple):
    """The time of which estimates are priced, and the revision of the prices that is committed then."""

    now: datetime
    prices_token: UUID


@dataclass(frozen=True, slots=True)
class NewHold:
    """A hold to be written: whose, who pays for it (None: nobody), how much (CHF), for how many seconds, and what was asked."""

    mandate_id: str
    hold_key: str
    user_id: str
    balance_account_id: int | None
    amount: Decimal
    provider: str | None
    model: str | None
    feature_code: str | None
    price_version: int | None
    ttl_seconds: int
    time_zone: str
    content_hash: str  # in hexadecimal


class Written(NamedTuple):
    """A hold that this transaction has written."""

    local_date: date
    expires_at: datetime


class Found(NamedTuple):
    """A hold that was there: one that the clock has ended is EXPIRED; without a hash of its content an event came before it."""

    amount: Decimal
    state: HoldState
    expires_at: datetime
    content_hash: bytes | None


class Standings(NamedTuple):
    """Accounts as they stand, by id, with the mandate of each, and when that was read."""

    now: datetime
    accounts: dict[int, HeldBalance]
    mandates: dict[int, str]


def priced_at(connection: Connection, clock: datetime | None) -> PricedAt:
    """When, and by which prices, the estimates of this transaction are priced."""
    return PricedAt._make(connection.execute(_PRICED_AT, {"clock": clock}).one())


def write_holds(connection: Connection, holds: Iterable[NewHold], clock: datetime | None) -> dict[HoldKey, Written]:
    """Writes those holds whose key is new, in the order of the keys, and returns them. Waits for whoever is writing the same key.

    Then the accounts that are to pay are locked in the order of their ids, and until the transaction ends what is looked up is looked up by
    keys alone. Read what depends on the accounts, and the time, in a later statement.
    """
    ordered = sorted(holds, key=lambda hold: (hold.mandate_id, hold.hold_key))
    columns = {name: packed(getattr(hold, name) for hold in ordered) for name in _COLUMNS}
    payers = sorted({hold.balance_account_id for hold in ordered if hold.balance_account_id is not None})
    rows = connection.execute(_WRITE, {**columns, "payers": payers, "clock": clock})
    return {(row.mandate_id, row.hold_key): Written(row.local_date, row.expires_at) for row in rows}


def find_holds(connection: Connection, keys: Collection[HoldKey], clock: datetime | None) -> dict[HoldKey, Found]:
    """The holds that there are under these keys."""
    columns = {"mandate_id": packed(key[0] for key in keys), "hold_key": packed(key[1] for key in keys)}
    return {
        (row.mandate_id, row.hold_key): Found(row.amount, HoldState(row.state), row.expires_at, row.content_hash and bytes(row.content_hash))
        for row in connection.execute(_FIND, {**columns, "clock": clock})
    }


def read_standings(connection: Connection, account_ids: Iterable[int], clock: datetime | None) -> Standings:
    """How these accounts stand now: those that the caller has locked until the transaction ends."""
    rows = connection.execute(_STANDING, {"ids": sorted(account_ids), "clock": clock}).all()
    there = [row for row in rows if row.id is not None]
    accounts = {row.id: HeldBalance(row.enabled, row.balance, row.credit_limit, row.held) for row in there}
    return Standings(rows[0].now, accounts, {row.id: row.mandate_id for row in there})


def take_back(connection: Connection, keys: Sequence[HoldKey]) -> None:
    """Deletes holds that this very transaction, and no savepoint in it, has written: a refusal keeps nothing."""
    connection.execute(_TAKE_BACK, {"mandate_id": packed(key[0] for key in keys), "hold_key": packed(key[1] for key in keys)})


def add_held(connection: Connection, amounts: Mapping[int, Decimal]) -> None:
    """Adds to what is held of accounts (by id, in CHF; may be negative), which the caller has locked."""
    moved = {account_id: amount for account_id, amount in sorted(amounts.items()) if amount}
    if moved:
        connection.execute(_ADD_HELD, {"ids": packed(moved), "amounts": packed(moved.values())})
