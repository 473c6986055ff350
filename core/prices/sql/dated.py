"""SQL of what is dated beside the versions, as rating takes it: aliases, exchange rates, sale rules, what isn't charged, modes."""

from datetime import datetime

from sqlalchemy import Connection, text

from core.database.rows import rows
from core.prices.model import Alias, FxRate, Mode, SaleRule, Uncharged

_VALID = "lower(valid) AS valid_from, upper(valid) AS valid_to"
_RULE = f"id, mandate_id, priority, provider, model, markup_percent, book, {_VALID}"
_ALIASES = text(f"SELECT id, provider, alias, model, {_VALID} FROM price_aliases ORDER BY id")
_FX = text('SELECT id, currency, rate_date AS "on", rate FROM fx_rates WHERE replaced_at IS NULL ORDER BY currency, rate_date')
_FX_BY_ID = text('SELECT id, currency, rate_date AS "on", rate FROM fx_rates WHERE id = ANY(:ids) ORDER BY id')
_RULES = text(f"SELECT {_RULE} FROM sale_rules ORDER BY id")
_RULES_BY_ID = text(f"SELECT {_RULE} FROM sale_rules WHERE id = ANY(:ids) ORDER BY id")
_UNCHARGED = text(f"SELECT id, mandate_id, provider, outcome, without_usage, {_VALID} FROM uncharged_rules ORDER BY id")
_MODES = text("SELECT mandate_id, mode, since FROM price_modes ORDER BY mandate_id, since")


def load_aliases(connection: Connection) -> list[Alias]:
    """All aliases, closed ones too."""
    return rows(connection, Alias, _ALIASES)


def load_fx(connection: Connection) -> list[FxRate]:
    """All rates that weren't replaced."""
    return rows(connection, FxRate, _FX)


def fx_by_id(connection: Connection, ids: list[int]) -> list[FxRate]:
    """These rates, replaced ones too."""
    return rows(connection, FxRate, _FX_BY_ID, ids=ids)


def load_rules(connection: Connection) -> list[SaleRule]:
    """All sale rules, closed ones too."""
    return rows(connection, SaleRule, _RULES)


def rules_by_id(connection: Connection, ids: list[int]) -> list[SaleRule]:
    """These sale rules."""
    return rows(connection, SaleRule, _RULES_BY_ID, ids=ids)


def load_uncharged(connection: Connection) -> list[Uncharged]:
    """All that isn't charged, closed rules too."""
    return rows(connection, Uncharged, _UNCHARGED)


def load_modes(connection: Connection) -> list[tuple[str, Mode, datetime]]:
    """Mandate, mode and since when, of all mandates that were ever told one."""
    return [(row.mandate_id, Mode(row.mode), row.since) for row in connection.execute(_MODES)]
