"""SQL of what all prices hang on: the revision that every change raises, and which version is active."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from core.database.locks import Lock, hold
from core.database.rows import rows

_STATE = text("SELECT revision, active_version, dialects_revision, token FROM price_state WHERE one")
_RAISE = text("UPDATE price_state SET revision = revision + 1, token = gen_random_uuid() RETURNING revision")
_ACTIVATE = text("UPDATE price_state SET active_version = :version_id")
_DIALECTS = text("UPDATE price_state SET dialects_revision = :dialects_revision WHERE dialects_revision < :dialects_revision RETURNING 1")


class PriceState(NamedTuple):
    """The revision of the prices, the version that is active (None: there was never one), and the dialects that workers have."""

    revision: int
    active_version: int | None
    dialects_revision: int
    token: UUID  # of the revision in these very books: ones that were restored may come to a revision twice


def price_state(connection: Connection) -> PriceState:
    """What is committed now."""
    (found,) = rows(connection, PriceState, _STATE)
    return found


def hold_prices(connection: Connection) -> PriceState:
    """Until the transaction ends nobody else changes what rating depends on; what it is now. Take no other lock after it."""
    hold(connection, Lock.PRICES)
    return price_state(connection)


def raise_revision(connection: Connection) -> int:
    """Every worker reads the prices anew once this is committed. The caller holds the prices."""
    revision: int = connection.execute(_RAISE).scalar_one()
    return revision


def activate(connection: Connection, version_id: int) -> None:
    """The version is the one that is rated by. The caller holds the prices."""
    connection.execute(_ACTIVATE, {"version_id": version_id})


def set_dialects_revision(connection: Connection, dialects_revision: int) -> bool:
    """Whether these dialects are newer than those that were known. The caller holds the prices."""
    return connection.execute(_DIALECTS, {"dialects_revision": dialects_revision}).first() is not None
