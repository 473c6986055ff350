"""SQL that shows what is dated beside the versions, and where the price book stands."""

from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from core.database.listing import Listing, Rows
from core.database.rows import rows
from core.prices.dated import AliasEntry, FxEntry, ModeEntry, RuleEntry, UnchargedEntry
from core.prices.sql.changes import ALIASES, MODE, RULES, UNCHARGED

_FX = "r.id, r.currency, r.rate_date, r.rate, r.legs, r.source, r.created_by, r.created_at, r.replaced_at"
_OF_MANDATE = {"mandate_id": "r.mandate_id = :mandate_id"}
_ALIAS_LIST = Listing(ALIASES.table, ALIASES.shown, ("id",))
_RULE_LIST = Listing(RULES.table, RULES.shown, ("id",), conditions=_OF_MANDATE)
_UNCHARGED_LIST = Listing(UNCHARGED.table, UNCHARGED.shown, ("id",))
_MODE_LIST = Listing("price_modes", MODE, ("id",), conditions=_OF_MANDATE)
_FX_LIST = Listing("fx_rates", _FX, ("id",), conditions={"currency": "r.currency = :currency"})

_MODELS = text("""
    SELECT DISTINCT model FROM price_aliases
     WHERE alias = :alias AND (CAST(:provider AS text) IS NULL OR provider = :provider)
       AND (CAST(:at AS timestamptz) IS NULL OR valid @> CAST(:at AS timestamptz))
     ORDER BY model
""")
_COUNTS = text("""
    SELECT (SELECT count(*) FROM price_aliases WHERE valid @> now()) AS aliases,
           (SELECT count(*) FROM sale_rules WHERE valid @> now()) AS rules,
           (SELECT count(*) FROM uncharged_rules WHERE valid @> now()) AS uncharged
""")
_MODES_NOW = text("""
    SELECT mode, count(*) AS mandates
      FROM (SELECT DISTINCT ON (mandate_id) mode FROM price_modes WHERE since <= now() ORDER BY mandate_id, since DESC) AS present
     GROUP BY mode ORDER BY mode
""")
_PROPOSALS = text("""
    SELECT id FROM price_versions WHERE accepted_at IS NULL AND based_on IS NOT DISTINCT FROM CAST(:active AS bigint) ORDER BY id DESC LIMIT 100
""")
_NEWEST_FX = text("SELECT currency, max(rate_date) AS rate_date FROM fx_rates WHERE replaced_at IS NULL GROUP BY currency ORDER BY currency")


class Counts(NamedTuple):
    """How many hold now."""

    aliases: int
    rules: int
    uncharged: int


def list_aliases(connection: Connection, limit: int, offset: int, before: int | None) -> list[AliasEntry]:
    """The newest first."""
    return _ALIAS_LIST.rows(connection, AliasEntry, Rows(limit, offset, before))


def list_rules(connection: Connection, mandate_id: str | None, limit: int, offset: int, before: int | None) -> list[RuleEntry]:
    """The newest first."""
    return _RULE_LIST.rows(connection, RuleEntry, Rows(limit, offset, before), mandate_id=mandate_id)


def list_uncharged(connection: Connection, limit: int, offset: int, before: int | None) -> list[UnchargedEntry]:
    """The newest first."""
    return _UNCHARGED_LIST.rows(connection, UnchargedEntry, Rows(limit, offset, before))


def list_modes(connection: Connection, mandate_id: str | None, limit: int, offset: int, before: int | None) -> list[ModeEntry]:
    """The last said first."""
    return _MODE_LIST.rows(connection, ModeEntry, Rows(limit, offset, before), mandate_id=mandate_id)


def list_fx(connection: Connection, currency: str | None, limit: int, offset: int, before: int | None) -> list[FxEntry]:
    """The last written first."""
    return _FX_LIST.rows(connection, FxEntry, Rows(limit, offset, before), currency=currency)


def models_of_alias(connection: Connection, alias: str, provider: str | None, at: datetime | None) -> list[str]:
    """The models that the alias means then; None: ever."""
    return list(connection.execute(_MODELS, {"alias": alias, "provider": provider, "at": at}).scalars())


def counts(connection: Connection) -> Counts:
    """How many hold now."""
    (found,) = rows(connection, Counts, _COUNTS)
    return found


def modes_now(connection: Connection) -> dict[str, int]:
    """How many mandates were told each mode, by what holds now."""
    return {row.mode: row.mandates for row in connection.execute(_MODES_NOW)}


def open_proposals(connection: Connection, active: int | None) -> list[int]:
    """The newest proposals that could be accepted."""
    return list(connection.execute(_PROPOSALS, {"active": active}).scalars())


def newest_fx(connection: Connection) -> dict[str, date]:
    """By currency, the day of the newest rate."""
    return {row.currency: row.rate_date for row in connection.execute(_NEWEST_FX)}
