"""Sale rules: what mandates pay."""

from datetime import datetime
from decimal import Decimal

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.directory.read import require_known
from core.errors import NotFound, RequestRefused
from core.money import EXACT
from core.prices.change import add_dated, close, require_text
from core.prices.dated import RuleEntry
from core.prices.sql.changes import RULES
from core.prices.sql.state import hold_prices, price_state
from core.prices.sql.versions import has_book
from core.printable import shown

MARKUP_MIN, MARKUP_MAX = Decimal(-100), Decimal(100_000)
_PLACES = Decimal("0.000001")
_PRIORITY_MAX = 1_000_000


def add_rule(
    database: Database,
    actor: Actor,
    *,
    created_by: str,
    markup_percent: Decimal | None = None,
    book: str | None = None,
    mandate_id: str | None = None,
    priority: int = 0,
    provider: str | None = None,
    model: str | None = None,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
) -> RuleEntry:
    """From `valid_from` to before `valid_to`, by when the call happened, mandates pay so. Repeatable.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        created_by: who does it.
        markup_percent: on the provider cost, with at most six places; 0 is a rule too.
        book: a SALE book instead, of the active version.
        mandate_id: whose; None: of all that have no rule of their own.
        priority: the highest decides among the mandate's own, or those of all.
        provider: for calls of this provider alone.
        model: for calls of this model alone.
        valid_from: None is no bound, and so below.
        valid_to: as told.

    Raises:
        RequestRefused: a rule of equal rank could decide about the same call; both are named. Or a field has no such value.
        NotFound: there is no such mandate, or no such book in the active version.
    """
    require_root(actor, "change sale rules")
    _require_way(markup_percent, book)
    for field, value in (("provider", provider), ("model", model), ("book", book)):
        require_text(field, value)
    if abs(priority) > _PRIORITY_MAX:
        raise RequestRefused(f"is not -{_PRIORITY_MAX} to {_PRIORITY_MAX}", field="priority", value=priority)
    with database.transaction() as connection:
        hold_prices(connection)
        if mandate_id is not None:
            require_known(connection, [mandate_id])
        if book is not None and not has_book(connection, price_state(connection).active_version, book):
            raise NotFound(f"the active version has no rows of book {shown(book)}: import and accept them first", field="book", value=book)
        told = {"mandate_id": mandate_id, "priority": priority, "provider": provider, "model": model, "markup_percent": markup_percent}
        times = {"valid_from": valid_from, "valid_to": valid_to}
        why = "of two rules of equal rank nobody could tell which decides"
        entry: RuleEntry = add_dated(connection, RULES, "priority", why, **told, book=book, **times, created_by=created_by)
        return entry


def close_rule(database: Database, actor: Actor, rule_id: int, *, end: datetime, closed_by: str) -> RuleEntry:
    """Ends a rule, as `core.prices.change.close`."""
    entry: RuleEntry = close(database, actor, RULES, rule_id, end=end, closed_by=closed_by)
    return entry


def _require_way(markup_percent: Decimal | None, book: str | None) -> None:
    if (markup_percent is None) == (book is None):
        raise RequestRefused("name either a markup or a book", field="markup_percent", value=markup_percent)
    if markup_percent is None:
        return
    if not markup_percent.is_finite() or not MARKUP_MIN <= markup_percent <= MARKUP_MAX:
        raise RequestRefused(f"is not {MARKUP_MIN} to {MARKUP_MAX}", field="markup_percent", value=markup_percent)
    if EXACT.quantize(markup_percent, _PLACES) != markup_percent:
        raise RequestRefused("has more than six decimal places", field="markup_percent", value=markup_percent)
