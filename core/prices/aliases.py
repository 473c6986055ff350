"""Aliases: other names of models, exact, each approved by somebody."""

from datetime import datetime

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.errors import RequestRefused
from core.prices.change import add_dated, close, require_text
from core.prices.dated import AliasEntry
from core.prices.sql.changes import ALIASES
from core.prices.sql.state import hold_prices


def add_alias(
    database: Database,
    actor: Actor,
    provider: str,
    alias: str,
    model: str,
    *,
    approved_by: str,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
) -> AliasEntry:
    """From `valid_from` to before `valid_to` events that name `alias` are rated by the rows of `model`; None is no bound. Repeatable.

    Raises:
        RequestRefused: the alias means another model at that time, or is the model itself.
    """
    require_root(actor, "approve an alias")
    for field, value in (("provider", provider), ("alias", alias), ("model", model)):
        require_text(field, value)
    if alias == model:
        raise RequestRefused("is the model itself", field="alias", value=alias)
    told = {"provider": provider, "alias": alias, "model": model, "valid_from": valid_from, "valid_to": valid_to}
    with database.transaction() as connection:
        hold_prices(connection)
        entry: AliasEntry = add_dated(connection, ALIASES, "alias", "an alias is one model's", **told, approved_by=approved_by)
        return entry


def close_alias(database: Database, actor: Actor, alias_id: int, *, end: datetime, closed_by: str) -> AliasEntry:
    """Ends an alias, as `core.prices.change.close`."""
    entry: AliasEntry = close(database, actor, ALIASES, alias_id, end=end, closed_by=closed_by)
    return entry
