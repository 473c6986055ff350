"""Rating a recorded event again: by the rows of another version, and else by what its stamp names."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from core.dialects.all import DIALECTS
from core.ledger.priced import Priced
from core.movements.rerating import Reasons
from core.movements.sql.amendments import Amendment, EventEntry
from core.prices.book import Prices
from core.prices.model import Kept, Rated, StampContent, Unpriced
from core.prices.price_event import leaves_text, priced_call, read_event
from core.prices.rate import rate_again
from core.prices.sql import dated
from core.prices.sql.stamps import load_stamps, stamp_ids
from core.prices.sql.versions import defaults_of, load_book

NO_DIALECT = "dialect_version"  # its leaves were read by a version of the dialect that this program hasn't
_STAMPS_MAX = 10_000
_VERSIONS = {name.value: one.version for name, one in DIALECTS.items()}


class Repriced(NamedTuple):
    """An event whose amount, or provider cost, would be another."""

    entry: EventEntry
    rated: Rated
    leaves: str | None

    def amendment(self, stamp_id: int = 0) -> Amendment:
        """It is billed the new price, or under `shadow` what was given, with the new price beside it; who pays stays."""
        entry, rated = self.entry, self.rated
        old = entry.priced
        amount, computed = (rated.price, None) if old.computed is None else (old.amount, rated.price)
        priced = Priced(amount, stamp_id, computed, rated.provider_cost, rated.currency, self.leaves)
        return Amendment(entry, entry.event, entry.account_id, entry.balance_account_id, priced)


class Judged(NamedTuple):
    """Entries that were rated again: what changes, and how many are right already. The others are told as reasons."""

    repriced: list[Repriced]
    unchanged: int


class Repricer:
    """One version of the book, to rate again by; all of it was read at one moment."""

    def __init__(self, connection: Connection, version_id: int, *, fx: bool = False, rules: bool = False, dialects: bool = False) -> None:
        """Reads the version and what is dated beside it; the flags are those of `Rerating`."""
        self._fx_present, self._rules_present, self._dialects_present = fx, rules, dialects
        self._uncharged = {policy.id: policy for policy in dated.load_uncharged(connection)}
        self._book = Prices(
            rows=load_book(connection, version_id),
            aliases=dated.load_aliases(connection),
            fx=dated.load_fx(connection),
            rules=dated.load_rules(connection),
            uncharged=self._uncharged.values(),
            defaults=defaults_of(connection, version_id),
            version_id=version_id,
        )
        self._stamps: dict[int, tuple[StampContent, Kept]] = {}

    def judge(self, connection: Connection, entries: Sequence[EventEntry], reasons: Reasons) -> Judged:
        """Rates entries whose stamps are RATED again. Those that have no price so are counted among the reasons."""
        self._meet_stamps(connection, {entry.priced.stamp_id for entry in entries if entry.priced.stamp_id is not None})
        repriced, unchanged = [], 0
        for entry in entries:
            found = self._again(entry)
            if isinstance(found, str):
                reasons.add(found, entry.event.event_id)
            elif _is_as_before(entry.priced, found.rated):
                unchanged += 1
            else:
                repriced.append(found)
        return Judged(repriced, unchanged)

    def _again(self, entry: EventEntry) -> Repriced | str:
        assert entry.priced.stamp_id is not None
        stamp, kept = self._stamps[entry.priced.stamp_id]
        if not self._dialects_present and _version_of(stamp.dialect) != stamp.dialect_version:
            return NO_DIALECT
        reading = read_event(entry.event)
        if isinstance(reading, Unpriced):
            return reading.reason.value
        rated = rate_again(priced_call(entry.event, reading), self._book, kept)
        if isinstance(rated, Unpriced):
            return rated.reason.value
        return Repriced(entry, rated, None if reading is None else leaves_text(reading))

    def _meet_stamps(self, connection: Connection, ids: Collection[int]) -> None:
        """Reads those stamps, and what they name, that weren't met before."""
        new = set(ids) - self._stamps.keys()
        if not new:
            return
        if len(self._stamps) + len(new) > _STAMPS_MAX:
            self._stamps.clear()
            new = set(ids)
        stamps = load_stamps(connection, new)
        fx = {one.id: one for one in dated.fx_by_id(connection, [s.fx_id for s in stamps.values() if s.fx_id is not None])}
        rules = {one.id: one for one in dated.rules_by_id(connection, [s.rule_id for s in stamps.values() if s.rule_id is not None])}
        for stamp_id, stamp in stamps.items():
            rate = None if stamp.fx_id is None else fx[stamp.fx_id]
            rule = None if stamp.rule_id is None else rules[stamp.rule_id]
            policy = None if stamp.uncharged_id is None else self._uncharged[stamp.uncharged_id]
            self._stamps[stamp_id] = (
                stamp,
                Kept(rate, rule, policy, fx_present=self._fx_present, rules_present=self._rules_present),
            )


def amendments_of(connection: Connection, repriced: Sequence[Repriced]) -> list[Amendment]:
    """What is to be written, under stamps that are kept from now on; who pays stays."""
    ids = stamp_ids(connection, {one.rated.stamp for one in repriced})
    return [one.amendment(ids[one.rated.stamp]) for one in repriced]


def _version_of(dialect: str | None) -> int | None:
    """The version that this program has of a dialect; None: it has none."""
    return None if dialect is None else _VERSIONS.get(dialect)


def _is_as_before(priced: Priced, rated: Rated) -> bool:
    price = priced.amount if priced.computed is None else priced.computed
    return (price, priced.provider_cost, priced.provider_currency) == (rated.price, rated.provider_cost, rated.currency)
