"""Loading what is rated by: everything of one revision, kept by a process until the revision moves."""

from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from core.dialects.all import DIALECTS_REVISION
from core.errors import StorageUnavailable
from core.prices.book import Prices
from core.prices.sql import dated
from core.prices.sql.state import hold_prices, price_state, raise_revision, set_dialects_revision
from core.prices.sql.versions import defaults_of, load_book

_ATTEMPTS_MAX = 5


_kept: WeakKeyDictionary[Engine, tuple[UUID, Prices]] = WeakKeyDictionary()  # what this process has read last, of each database


def prices_of(connection: Connection, token: UUID) -> Prices:
    """All that rating depends on, of the revision with this token, or of a newer one that is committed by now: one answer is for a transaction.

    A process keeps what it has read.
    """
    kept = _kept.get(connection.engine)
    if kept is None or kept[0] != token:  # several threads at once may all read: none waits for another one's transaction
        kept = _kept[connection.engine] = load_prices(connection)
    return kept[1]


def load_prices(connection: Connection) -> tuple[UUID, Prices]:
    """All that rating depends on, of one committed moment, and the token of its revision.

    Under READ COMMITTED it is read until nothing moved meanwhile.

    Raises:
        StorageUnavailable: that was in vain several times.
    """
    for _ in range(_ATTEMPTS_MAX):
        token, found = _loaded(connection)
        if token == price_state(connection).token:
            return token, found
    raise StorageUnavailable("prices change faster than they can be read: try again")


def _loaded(connection: Connection) -> tuple[UUID, Prices]:
    state = price_state(connection)
    active = state.active_version
    # What older dialects can't read is judged as of the revision before: a worker that has the newer ones takes it up again.
    outdated = state.dialects_revision > DIALECTS_REVISION
    return state.token, Prices(
        rows=[] if active is None else load_book(connection, active),
        aliases=dated.load_aliases(connection),
        fx=dated.load_fx(connection),
        rules=dated.load_rules(connection),
        uncharged=dated.load_uncharged(connection),
        modes=dated.load_modes(connection),
        defaults=defaults_of(connection, active),
        version_id=active,
        revision=state.revision - outdated,
    )


def meet_dialects(connection: Connection, dialects_revision: int) -> bool:
    """Whether these dialects are newer than all that the books knew: if so the revision is raised, and what is parked is judged anew.

    Repeatable, and never goes back: to who has older ones nothing is new.
    """
    if price_state(connection).dialects_revision >= dialects_revision:
        return False
    hold_prices(connection)
    if not set_dialects_revision(connection, dialects_revision):
        return False
    raise_revision(connection)
    return True
