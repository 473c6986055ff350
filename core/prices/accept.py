"""Accepting a proposal: it becomes the version that is rated by."""

from dataclasses import dataclass
from datetime import datetime

from core.asking.rights import Actor, require_root
from core.database.database import Database, transaction_time
from core.errors import Conflict, NotFound
from core.prices.sql.state import activate, hold_prices, raise_revision
from core.prices.sql.versions import accept_version, find_version
from core.prices.version import Version


@dataclass(frozen=True, slots=True)
class Accepted:
    """The version that was accepted, by whom, when, and which revision of the prices it began."""

    version_id: int
    based_on: int | None
    row_count: int
    accepted_by: str
    accepted_at: datetime
    revision: int
    repeated: bool = False


def accept(database: Database, actor: Actor, version_id: int, *, accepted_by: str) -> Accepted:
    """Makes the proposal the active version, which then never changes. A replay changes nothing and gives the first result.

    Of several at once that are based on one version, the first wins.

    Raises:
        NotFound: there is no such version.
        Conflict: another version became active after it was proposed: its diff is one against a book that nobody rates by any more.
    """
    require_root(actor, "accept prices")
    with database.transaction() as connection:
        state = hold_prices(connection)
        version = find_version(connection, version_id)
        if version is None:
            raise NotFound(f"there is no version {version_id} of the price book", field="version_id", value=version_id)
        if version.accepted_at is not None:
            return _accepted(version, repeated=True)
        if version.based_on != state.active_version:
            raise Conflict(
                f"was proposed against {_named(version.based_on)}, and {_named(state.active_version)} is active now: propose again",
                field="version_id",
                value=version_id,
            )
        revision = raise_revision(connection)
        accept_version(connection, version_id, accepted_by, revision)
        activate(connection, version_id)
        time = transaction_time(connection)
        return Accepted(version.id, version.based_on, version.row_count, accepted_by, time, revision)


def _accepted(version: Version, *, repeated: bool) -> Accepted:
    assert version.accepted_at is not None
    assert version.accepted_by is not None
    assert version.accepted_revision is not None
    return Accepted(
        version.id, version.based_on, version.row_count, version.accepted_by, version.accepted_at, version.accepted_revision, repeated=repeated
    )


def _named(version_id: int | None) -> str:
    return "no version" if version_id is None else f"version {version_id}"
