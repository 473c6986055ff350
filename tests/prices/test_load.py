"""Loading what is rated by: of one committed moment, and kept until the revision moves."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy import Connection

from core.asking.rights import ROOT
from core.database.database import Database
from core.dialects.model import Leaf, Reading
from core.errors import StorageUnavailable
from core.prices import load
from core.prices.aliases import add_alias, close_alias
from core.prices.fx import GivenRate, import_fx
from core.prices.load import load_prices, meet_dialects, prices_of
from core.prices.model import Mode, PricedCall, Rated, Unpriced
from core.prices.modes import set_mode
from core.prices.rate import rate
from core.prices.rules import add_rule
from core.prices.sql import dated
from core.prices.sql.state import price_state
from core.prices.uncharged import add_uncharged
from tests.prices.scene import accepted, at, row
from tests.scene import PutMandate


def revision(database: Database) -> int:
    """The present revision."""
    with database.transaction() as connection:
        return price_state(connection).revision


def call(model: str = "gpt", mandate_id: str = "acme") -> PricedCall:
    """A call of 1,000,000 tokens in and 100,000 out."""
    reading = Reading({Leaf.INPUT: 1_000_000, Leaf.OUTPUT: 100_000})
    return PricedCall(mandate_id, at("2026-11-20"), reading, None, "openai", model)


def test_a_call_is_rated_by_what_was_accepted(database: Database, put_mandate: PutMandate) -> None:
    """5 + 1.5 USD, at 0.9 CHF, with 10 percent on it, are 6.435 CHF; the alias is the same model."""
    put_mandate()
    version = accepted(database, [row(amount="5"), row(leaf="output", amount="15")])
    import_fx(database, ROOT, [GivenRate("USD", at("2026-11-19").date(), Decimal("0.9"))], source="test", created_by="olga")
    rule = add_rule(database, ROOT, markup_percent=Decimal(10), created_by="olga")
    add_alias(database, ROOT, "openai", "gpt-latest", "gpt", approved_by="olga")
    set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=at("2026-11-01"))
    with database.transaction() as connection:
        _, prices = load_prices(connection)
    for name in ("gpt", "gpt-latest"):
        rated = rate(call(name), prices)
        assert isinstance(rated, Rated)
        assert (rated.price, rated.provider_cost, rated.currency) == (Decimal("6.435"), Decimal("6.5"), "USD")
        assert (rated.stamp.version_id, rated.stamp.rule_id, len(rated.stamp.rows)) == (version, rule.id, 2)
    assert prices.mode("acme", at("2026-11-20")) is Mode.COMPUTED
    assert prices.mode("acme", at("2026-10-31")) is Mode.GIVEN


def test_without_a_book_nothing_has_a_price(database: Database) -> None:
    """An installation that never imported prices loads none."""
    with database.transaction() as connection:
        _, prices = load_prices(connection)
    assert (prices.version_id, prices.revision) == (None, 1)
    assert isinstance(rate(call(), prices), Unpriced)


def test_every_change_raises_the_revision_once(database: Database, put_mandate: PutMandate) -> None:
    """What rating depends on can't change without every worker reading it anew; a repetition changes nothing."""
    put_mandate()
    alias = add_alias(database, ROOT, "openai", "x", "gpt", approved_by="olga")
    changes: list[Callable[[], object]] = [
        lambda: accepted(database, [row(amount=str(revision(database)))]),
        lambda: add_alias(database, ROOT, "openai", "y", "gpt", approved_by="olga"),
        lambda: close_alias(database, ROOT, alias.id, end=at("2027-01-01"), closed_by="olga"),
        lambda: add_rule(database, ROOT, markup_percent=Decimal(0), created_by="olga"),
        lambda: add_uncharged(database, ROOT, "failed", created_by="olga"),
        lambda: set_mode(database, ROOT, "acme", Mode.SHADOW, created_by="olga", since=at("2026-11-01")),
        lambda: import_fx(database, ROOT, [GivenRate("USD", at("2026-11-19").date(), Decimal("0.9"))], source="test", created_by="olga"),
    ]
    for place, change in enumerate(changes):
        before = revision(database)
        change()
        assert revision(database) == before + 1, place
        if place:  # the first one is another price each time
            change()
            assert revision(database) == before + 1, place


def test_a_process_reads_prices_only_when_the_revision_moved(database: Database) -> None:
    """The same object serves until something changes; the new one has it."""
    accepted(database, [row()])
    with database.transaction() as connection:
        token = price_state(connection).token
        first = prices_of(connection, token)
        assert prices_of(connection, token) is first
    accepted(database, [row(amount="6")])
    with database.transaction() as connection:
        state = price_state(connection)
        second = prices_of(connection, state.token)
        assert state.token != token
        assert second.revision == state.revision > first.revision
        assert prices_of(connection, state.token) is second


def test_prices_that_move_while_they_are_read_are_read_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under READ COMMITTED half of one revision and half of the next is never taken for either."""
    accepted(database, [row(amount="5")])
    real = dated.load_aliases
    moved: list[int] = []

    def late(connection: Connection) -> object:
        if not moved:
            moved.append(accepted(database, [row(amount="6"), row("other")]))
            add_alias(database, ROOT, "openai", "x", "gpt", approved_by="olga")
        return real(connection)

    monkeypatch.setattr(dated, "load_aliases", late)
    with database.transaction() as connection:
        before = price_state(connection).revision
        _, prices = load_prices(connection)
    assert (prices.revision, prices.version_id) == (before + 2, moved[0])


def test_prices_that_move_all_the_time_are_asked_for_later(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some tries in vain the transaction is to be tried again, rather than keep others from changing prices."""
    real = dated.load_fx
    tries: list[object] = []

    def late(connection: Connection) -> object:
        if len(tries) < load._ATTEMPTS_MAX:
            tries.append(add_alias(database, ROOT, "openai", f"x{len(tries)}", "gpt", approved_by="olga"))
        return real(connection)

    monkeypatch.setattr(dated, "load_fx", late)
    with pytest.raises(StorageUnavailable, match="change faster"), database.transaction() as connection:
        load_prices(connection)
    with database.transaction() as connection:
        _, prices = load_prices(connection)
        assert prices.revision == price_state(connection).revision == 1 + load._ATTEMPTS_MAX


def test_newer_dialects_raise_the_revision_once(database: Database) -> None:
    """What is parked is judged anew when a worker knows more; older workers beside it change nothing."""
    before = revision(database)
    for number, told in ((8, True), (8, False), (7, False), (9, True)):
        with database.transaction() as connection:
            assert meet_dialects(connection, number) is told
    assert revision(database) == before + 2
