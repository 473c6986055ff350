"""What is dated beside the versions: aliases, sale rules, what isn't charged, modes; nothing of it is ever rewritten."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from core.asking.rights import ROOT, user
from core.database.database import Database
from core.errors import BadData, Conflict, Forbidden, Misconfigured, NotFound, RequestRefused
from core.prices.aliases import add_alias, close_alias
from core.prices.model import Layer, Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule, close_rule
from core.prices.uncharged import add_uncharged, close_uncharged
from tests.books.threads import at_once
from tests.conftest import Rows
from tests.prices.scene import accepted, at, row
from tests.scene import PutMandate


def test_an_alias_means_one_model_at_a_time(database: Database) -> None:
    """A second meaning is refused by name while the first holds, and taken once it is closed."""
    first = add_alias(database, ROOT, "openai", "latest", "gpt-5", approved_by="olga")
    with pytest.raises(RequestRefused, match=rf"{first.id} \(provider openai, alias latest, model gpt-5\).*model gpt-6"):
        add_alias(database, ROOT, "openai", "latest", "gpt-6", approved_by="olga", valid_from=at("2027-01-01"))
    closed = close_alias(database, ROOT, first.id, end=at("2027-01-01"), closed_by="otto")
    assert (closed.valid_to, closed.closed_by) == (at("2027-01-01"), "otto")
    second = add_alias(database, ROOT, "openai", "latest", "gpt-6", approved_by="olga", valid_from=at("2027-01-01"))
    assert second.model == "gpt-6"
    assert add_alias(database, ROOT, "anthropic", "latest", "claude", approved_by="olga").provider == "anthropic"


def test_an_alias_is_exact_text(database: Database) -> None:
    """Capitals make another name; a name of the model itself is none."""
    add_alias(database, ROOT, "openai", "Latest", "gpt-5", approved_by="olga")
    add_alias(database, ROOT, "openai", "latest", "gpt-6", approved_by="olga")
    with pytest.raises(RequestRefused, match="is the model itself"):
        add_alias(database, ROOT, "openai", "gpt-5", "gpt-5", approved_by="olga")
    with pytest.raises(RequestRefused, match="alias: must have 1 to 128"):
        add_alias(database, ROOT, "openai", "", "gpt-5", approved_by="olga")


def test_saying_the_same_again_changes_nothing(database: Database, rows: Rows) -> None:
    """The first entry comes back, whoever asks."""
    first = add_rule(database, ROOT, markup_percent=Decimal("10.5"), created_by="olga")
    assert add_rule(database, ROOT, markup_percent=Decimal("10.5"), created_by="otto") == first
    assert rows("SELECT count(*) AS n FROM sale_rules") == [{"n": 1}]


@pytest.mark.parametrize(
    "second",
    [
        {"markup_percent": Decimal(20)},
        {"markup_percent": Decimal(20), "valid_from": at("2027-01-01")},
        {"markup_percent": Decimal(20), "provider": "openai"},
        {"markup_percent": Decimal(20), "model": "gpt"},
        {"book": "gold"},
    ],
    ids=["same", "later", "of a provider", "of a model", "a book"],
)
def test_rules_of_equal_rank_that_meet_are_refused(second: dict[str, Any], database: Database) -> None:
    """Which of them decides nobody could tell: both are named."""
    accepted(database, [row(layer=Layer.SALE, book="gold", currency="CHF")])
    first = add_rule(database, ROOT, markup_percent=Decimal(10), created_by="olga")
    with pytest.raises(RequestRefused, match=rf"equal rank.*{first.id} \(priority 0, markup_percent 10.*this one \(priority 0"):
        add_rule(database, ROOT, created_by="olga", **second)


def test_rules_that_cannot_both_decide_stand_beside_each_other(database: Database, put_mandate: PutMandate) -> None:
    """Another mandate, priority, provider or model, or another time."""
    put_mandate()
    ten = Decimal(10)
    first = add_rule(database, ROOT, markup_percent=ten, created_by="olga", provider="openai", valid_to=at("2027-01-01"))
    others: list[dict[str, Any]] = [
        {"mandate_id": "acme", "provider": "openai"},
        {"priority": 1, "provider": "openai"},
        {"provider": "anthropic"},
        {"provider": "openai", "valid_from": at("2027-01-01"), "valid_to": at("2028-01-01")},
        {"provider": "openai", "model": "a", "valid_from": at("2028-01-01")},
        {"provider": "openai", "model": "b", "valid_from": at("2028-01-01")},
    ]
    ids = [add_rule(database, ROOT, markup_percent=ten, created_by="olga", **fields).id for fields in others]
    assert len({first.id, *ids}) == 7


def test_of_two_rules_at_once_one_is_written(database: Database, rows: Rows) -> None:
    """Two operators who say different things at the same moment: one is refused."""

    def add(percent: int) -> str:
        try:
            add_rule(database, ROOT, markup_percent=Decimal(percent), created_by="olga")
        except RequestRefused:
            return "refused"
        return "written"

    assert sorted(at_once(lambda: add(10), lambda: add(20))) == ["refused", "written"]
    assert rows("SELECT count(*) AS n FROM sale_rules") == [{"n": 1}]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "name either a markup or a book"),
        ({"markup_percent": Decimal(1), "book": "gold"}, "name either a markup or a book"),
        ({"markup_percent": Decimal("1.0000001")}, "more than six decimal places"),
        ({"markup_percent": Decimal(-101)}, "is not -100 to 100000"),
        ({"markup_percent": Decimal("NaN")}, "is not -100 to 100000"),
        ({"book": "gold"}, "no rows of book 'gold'"),
        ({"markup_percent": Decimal(1), "mandate_id": "nobody"}, "there is no mandate"),
        ({"markup_percent": Decimal(1), "valid_from": at("2027-01-01"), "valid_to": at("2027-01-01")}, "is not after"),
    ],
)
def test_a_rule_that_cannot_be_is_told(fields: dict[str, Any], told: str, database: Database) -> None:
    """Nothing is written, and the field is named."""
    with pytest.raises(RequestRefused, match=told):
        add_rule(database, ROOT, created_by="olga", **fields)


def test_closing_is_once(database: Database) -> None:
    """The same end again is the same; another one, or an end before the beginning, is refused."""
    rule = add_rule(database, ROOT, markup_percent=Decimal(1), created_by="olga", valid_from=at("2026-06-01"))
    with pytest.raises(RequestRefused, match="begins only at"):
        close_rule(database, ROOT, rule.id, end=at("2026-06-01"), closed_by="olga")
    closed = close_rule(database, ROOT, rule.id, end=at("2026-12-01"), closed_by="olga")
    assert close_rule(database, ROOT, rule.id, end=at("2026-12-01"), closed_by="otto") == closed
    with pytest.raises(RequestRefused, match="ends at"):
        close_rule(database, ROOT, rule.id, end=at("2027-12-01"), closed_by="olga")
    with pytest.raises(NotFound, match="there is no 99"):
        close_uncharged(database, ROOT, 99, end=at("2027-12-01"), closed_by="olga")


def test_what_is_not_charged_is_said_once(database: Database, put_mandate: PutMandate) -> None:
    """The same for a time that meets is refused; with and without usage are two things."""
    put_mandate()
    add_uncharged(database, ROOT, "failed", created_by="olga")
    add_uncharged(database, ROOT, "failed", without_usage=True, created_by="olga")
    add_uncharged(database, ROOT, "failed", mandate_id="acme", provider="openai", created_by="olga")
    with pytest.raises(RequestRefused, match="said twice"):
        add_uncharged(database, ROOT, "failed", valid_from=at("2027-01-01"), created_by="olga")
    with pytest.raises(RequestRefused, match="is none of completed"):
        add_uncharged(database, ROOT, "exploded", created_by="olga")


def test_a_mode_holds_since_a_moment_for_ever(database: Database, put_mandate: PutMandate) -> None:
    """Modes are only ever added; two since one moment would be a riddle."""
    put_mandate()
    first = set_mode(database, ROOT, "acme", Mode.SHADOW, created_by="olga", since=at("2026-11-01"))
    assert set_mode(database, ROOT, "acme", Mode.SHADOW, created_by="otto", since=at("2026-11-01")) == first
    with pytest.raises(Conflict, match="shadow holds since then"):
        set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=at("2026-11-01"))
    assert set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga").mode is Mode.COMPUTED
    with pytest.raises(NotFound, match="no mandate"):
        set_mode(database, ROOT, "nobody", Mode.SHADOW, created_by="olga")


def test_only_root_changes_what_is_dated(database: Database) -> None:
    """Others are told that they may not."""
    with pytest.raises(Forbidden):
        add_alias(database, user("ada"), "openai", "x", "gpt", approved_by="ada")
    with pytest.raises(Forbidden):
        set_mode(database, user("ada"), "acme", Mode.SHADOW, created_by="ada")


CHANGES = [
    "UPDATE sale_rules SET markup_percent = 0",
    "UPDATE sale_rules SET valid = tstzrange('2020-01-01', NULL)",
    "UPDATE sale_rules SET valid = tstzrange(NULL, NULL)",
    "DELETE FROM sale_rules",
    "TRUNCATE sale_rules",
    "UPDATE price_aliases SET model = 'x'",
    "DELETE FROM price_aliases",
    "UPDATE uncharged_rules SET outcome = 'completed'",
    "DELETE FROM uncharged_rules",
    "UPDATE price_modes SET mode = 'given'",
    "DELETE FROM price_modes",
]


@pytest.mark.parametrize("statement", CHANGES)
def test_what_is_dated_stays_for_everybody(statement: str, database: Database, put_mandate: PutMandate, rows: Rows) -> None:
    """Not even the owner's login rewrites it: only what is open may end."""
    put_mandate()
    add_rule(database, ROOT, markup_percent=Decimal(10), created_by="olga", valid_from=at("2026-01-01"))
    add_alias(database, ROOT, "openai", "x", "gpt", approved_by="olga")
    add_uncharged(database, ROOT, "failed", created_by="olga")
    set_mode(database, ROOT, "acme", Mode.SHADOW, created_by="olga")
    with pytest.raises(BadData, match=r"stays as it|only an open validity"):
        rows(statement)
    if "valid =" not in statement:
        with pytest.raises(Misconfigured), database.transaction() as connection:
            connection.execute(text(statement))


def test_the_database_itself_refuses_two_rules_of_equal_rank(database: Database, rows: Rows) -> None:
    """A program that wrote past all checks is stopped by the exclusion constraint; NULL meets everything."""
    add_rule(database, ROOT, markup_percent=Decimal(10), created_by="olga", provider="openai")
    with pytest.raises(BadData) as refused:
        rows("INSERT INTO sale_rules (markup_percent, valid, created_by, model) VALUES (1, tstzrange(NULL, NULL), 'x', 'gpt')")
    assert refused.value.sqlstate == "23P01"
