"""What the price book says: its versions, rows of a model, and what is dated beside them. Root alone is answered."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from core.asking.paging import LIMIT_DEFAULT, Limit, Offset
from core.asking.request import Moment
from core.asking.view import root, view
from core.errors import NotFound
from core.prices.dated import AliasEntry, FxEntry, ModeEntry, RuleEntry, UnchargedEntry
from core.prices.diff import Diff, compared
from core.prices.model import PriceRow
from core.prices.sql import shown
from core.prices.sql.state import PriceState, price_state
from core.prices.sql.versions import defaults_of, find_version, list_versions, load_book, rows_of_model, rows_only_in
from core.prices.version import Version

_SEES = root("see the price book")


@dataclass(frozen=True, slots=True)
class Status:
    """Where the price book stands: the active version, proposals against it, how much is dated beside it, and the newest rates."""

    revision: int
    active: Version | None
    proposals: list[int]
    aliases: int
    rules: int
    uncharged: int
    modes: dict[str, int]
    newest_fx: dict[str, date]


@view(None, sees=_SEES)
def versions(connection: Connection, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, before: int | None = None) -> list[Version]:
    """The versions, proposals too, newest first."""
    return list_versions(connection, limit, offset, before)


@view(None, sees=_SEES)
def version(connection: Connection, version_id: int) -> Version:
    """One version with its notes."""
    return _version(connection, version_id)


@view(None, sees=_SEES)
def diff(connection: Connection, version_id: int, other_id: int | None = None) -> Diff:
    """What a version changes of another one, by default of the one that it was proposed against."""
    found = _version(connection, version_id)
    other_id = found.based_on if other_id is None else _version(connection, other_id).id
    new, old = rows_only_in(connection, version_id, other_id), [] if other_id is None else rows_only_in(connection, other_id, version_id)
    return compared(new, old, found.defaults, defaults_of(connection, other_id), found.notes)


@view(None, sees=_SEES)
def model_rows(
    connection: Connection,
    model: str,
    *,
    provider: str | None = None,
    version_id: int | None = None,
    at: Moment | None = None,
) -> list[PriceRow]:
    """The rows of a model, by its exact name or an alias that holds then, in the active version or another one.

    Args:
        connection: to ask.
        model: as events name it.
        provider: of one provider alone.
        version_id: which version; None: the active one.
        at: those that hold then; None: of all times.

    Raises:
        NotFound: there is no such version, or it has no rows of the model.
    """
    chosen = _active(connection) if version_id is None else _version(connection, version_id).id
    names = [model, *shown.models_of_alias(connection, model, provider, at)]
    found = [row for name in names for row in rows_of_model(connection, chosen, name, provider) if at is None or _holds(row, at)]
    if not found:
        raise NotFound(f"version {chosen} has no rows of it" + ("" if at is None else f" at {at.isoformat()}"), field="model", value=model)
    return found


@view(None, sees=_SEES)
def active_defaults(connection: Connection) -> dict[str, dict[str, str]]:
    """By provider, what stands for a dimension that an event doesn't tell, in the active version."""
    return defaults_of(connection, price_state(connection).active_version)


@view(None, sees=_SEES)
def active_rows(connection: Connection) -> list[PriceRow]:
    """All rows of the active version.

    Raises:
        NotFound: none is active.
    """
    return load_book(connection, _active(connection))


@view(None, sees=_SEES)
def aliases(connection: Connection, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, before: int | None = None) -> list[AliasEntry]:
    """The aliases, closed ones too, newest first."""
    return shown.list_aliases(connection, limit, offset, before)


@view(None, sees=_SEES)
def rules(
    connection: Connection, mandate_id: str | None = None, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, before: int | None = None
) -> list[RuleEntry]:
    """The sale rules, of one mandate or all, closed ones too, newest first."""
    return shown.list_rules(connection, mandate_id, limit, offset, before)


@view(None, sees=_SEES)
def uncharged(connection: Connection, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, before: int | None = None) -> list[UnchargedEntry]:
    """What isn't charged, closed rules too, newest first."""
    return shown.list_uncharged(connection, limit, offset, before)


@view(None, sees=_SEES)
def modes(
    connection: Connection, mandate_id: str | None = None, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, before: int | None = None
) -> list[ModeEntry]:
    """Which price mandates pay since when, of one mandate or all, the last said first."""
    return shown.list_modes(connection, mandate_id, limit, offset, before)


@view(None, sees=_SEES)
def fx_rates(
    connection: Connection, currency: str | None = None, *, limit: Limit = LIMIT_DEFAULT, offset: Offset = 0, before: int | None = None
) -> list[FxEntry]:
    """The exchange rates, replaced ones too, the last written first."""
    return shown.list_fx(connection, currency, limit, offset, before)


@view(None, sees=_SEES)
def status(connection: Connection) -> Status:
    """Where the price book stands."""
    state: PriceState = price_state(connection)
    active = None if state.active_version is None else _version(connection, state.active_version)
    counts = shown.counts(connection)
    proposals = shown.open_proposals(connection, state.active_version)
    modes_now = shown.modes_now(connection)
    return Status(state.revision, active, proposals, counts.aliases, counts.rules, counts.uncharged, modes_now, shown.newest_fx(connection))


def _active(connection: Connection) -> int:
    active = price_state(connection).active_version
    if active is None:
        raise NotFound("no version of the price book is active: import prices and accept them", field="version", value=None)
    return active


def _version(connection: Connection, version_id: int) -> Version:
    found = find_version(connection, version_id)
    if found is None:
        raise NotFound(f"there is no version {version_id} of the price book", field="version", value=version_id)
    return found


def _holds(row: PriceRow, at: datetime) -> bool:
    return (row.valid_from is None or row.valid_from <= at) and (row.valid_to is None or at < row.valid_to)
