"""What stamps stand for: the prices that an amount was computed from, as they were, so that it can be computed again."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import Connection

from core.prices.book import Prices
from core.prices.model import FxRate, PriceRow, SaleRule, StampContent
from core.prices.sql.dated import fx_by_id, load_aliases, load_uncharged, rules_by_id
from core.prices.sql.stamps import load_stamps
from core.prices.sql.versions import defaults_of, rows_by_id, rows_of_model

_KEPT_MAX = 2_000
_Model = tuple[int | None, str, str]  # version, provider, model


class Stamped(NamedTuple):
    """A stamp, and prices that have all rows of its version for its model, and else only what it names."""

    content: StampContent
    prices: Prices


class Stamps:
    """The stamps that a walk through many debits meets; what it has loaded it keeps within bounds.

    What is dated counts from its first moment on, and without its end: that may have been told long after amounts were computed. A rule
    counts for any model, since a re-rating may have kept it for another one; and an alias if it was ever one of the stamp's model, for a
    stamp tells no more of it.
    """

    def __init__(self, connection: Connection) -> None:
        """`connection` is of a snapshot, which the walk is made in."""
        self._connection = connection
        self._aliases = [alias._replace(valid_to=None) for alias in load_aliases(connection)]
        self._policies = {policy.id: policy._replace(valid_to=None) for policy in load_uncharged(connection)}
        self._defaults: dict[int | None, dict[str, dict[str, str]]] = {None: {}}
        self._rows: dict[_Model, list[PriceRow]] = {}
        self._kept: dict[int, Stamped] = {}

    def of(self, ids: Collection[int]) -> dict[int, Stamped]:
        """The stamps with these ids; those that aren't there are left out."""
        wanted = set(ids)
        missing = wanted - self._kept.keys()
        if len(self._kept) + len(missing) > _KEPT_MAX:
            self._kept, missing = {}, wanted
        if missing:
            self._kept |= self._loaded(missing)
        return {stamp_id: self._kept[stamp_id] for stamp_id in wanted if stamp_id in self._kept}

    def _loaded(self, ids: Collection[int]) -> dict[int, Stamped]:
        contents = load_stamps(self._connection, ids)
        named = {row.id: row for row in rows_by_id(self._connection, {row for content in contents.values() for row in content.rows})}
        fx = {rate.id: rate for rate in fx_by_id(self._connection, _ids(content.fx_id for content in contents.values()))}
        rules = {rule.id: rule for rule in rules_by_id(self._connection, _ids(content.rule_id for content in contents.values()))}
        found = {}
        for stamp_id, content in contents.items():
            models = {(named[row_id].provider, named[row_id].model) for row_id in content.rows if row_id in named}
            prices = self._prices(content, models, fx.get(content.fx_id or 0), rules.get(content.rule_id or 0))
            found[stamp_id] = Stamped(content, prices)
        return found

    def _prices(self, content: StampContent, models: set[tuple[str, str]], fx: FxRate | None, rule: SaleRule | None) -> Prices:
        version_id = content.version_id
        if version_id not in self._defaults:
            self._defaults[version_id] = defaults_of(self._connection, version_id)
        policy = self._policies.get(content.uncharged_id or 0)
        return Prices(
            rows=[row for provider, model in models for row in self._rows_of((version_id, provider, model))],
            aliases=[alias for alias in self._aliases if (alias.provider, alias.model) in models],
            fx=[] if fx is None else [fx],
            rules=[] if rule is None else [rule._replace(valid_to=None, provider=None, model=None)],
            uncharged=[] if policy is None else [policy],
            defaults=self._defaults[version_id],
            version_id=version_id,
        )

    def _rows_of(self, key: _Model) -> list[PriceRow]:
        version_id, provider, model = key
        if version_id is None:
            return []
        if key not in self._rows:
            if len(self._rows) >= _KEPT_MAX:
                self._rows.clear()
            self._rows[key] = rows_of_model(self._connection, version_id, model, provider)
        return self._rows[key]


def _ids(ids: Iterable[int | None]) -> list[int]:
    return [one for one in ids if one is not None]
