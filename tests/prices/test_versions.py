"""Versions of the price book: proposals, accepting, what is shared, and what PostgreSQL itself refuses."""

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import text

from core.asking.rights import ROOT, user
from core.database.database import Database
from core.errors import BadData, Conflict, Forbidden, LinesRefused, Misconfigured, NotFound
from core.prices.accept import accept
from core.prices.model import Layer
from core.prices.propose import propose
from core.prices.sql.state import price_state
from core.prices.sql.versions import load_book
from tests.books.threads import at_once
from tests.conftest import Rows
from tests.prices.scene import accepted, at, offer, row


def book(database: Database, version_id: int) -> list[tuple[str, str, Decimal]]:
    """Model, leaf and amount of each row of a version."""
    with database.transaction() as connection:
        return sorted((one.model, one.leaf.value, one.amount) for one in load_book(connection, version_id))


def test_a_proposal_changes_nothing_until_it_is_accepted(database: Database) -> None:
    """It has a version without being active, and the revision moves only when it is accepted."""
    version = propose(database, ROOT, offer(row()), proposed_by="olga").version
    assert version is not None
    with database.transaction() as connection:
        before = price_state(connection)
    assert (before.active_version, version.accepted_at, version.based_on) == (None, None, None)
    result = accept(database, ROOT, version.id, accepted_by="otto")
    with database.transaction() as connection:
        after = price_state(connection)
    assert (after.active_version, after.revision, result.revision) == (version.id, before.revision + 1, before.revision + 1)


def test_each_version_is_a_whole_book_and_shares_its_rows(database: Database, rows: Rows) -> None:
    """What a source doesn't name is carried over, and is the same row."""
    first = accepted(database, [row(), row(leaf="output", amount="15")])
    second = accepted(database, [row("other", amount="1")])
    assert book(database, second) == [("gpt", "input", Decimal(5)), ("gpt", "output", Decimal(15)), ("other", "input", Decimal(1))]
    assert rows("SELECT count(*) AS n FROM price_rows") == [{"n": 3}]
    assert rows("SELECT count(*) AS n FROM price_book") == [{"n": 5}]
    assert first != second


def test_the_same_offer_again_proposes_nothing(database: Database) -> None:
    """Where nothing would change there is no version."""
    accepted(database, [row()])
    assert propose(database, ROOT, offer(row()), proposed_by="olga").version is None


def test_accepting_twice_gives_the_first_result(database: Database) -> None:
    """The second time nothing moves, whoever asks and whatever is active by then."""
    version = propose(database, ROOT, offer(row()), proposed_by="olga").version
    assert version is not None
    first = accept(database, ROOT, version.id, accepted_by="olga")
    accepted(database, [row("other")])
    again = accept(database, ROOT, version.id, accepted_by="otto")
    assert again == replace(first, repeated=True)


def test_a_proposal_against_another_version_is_refused(database: Database) -> None:
    """It was compared with a book that nobody rates by any more."""
    old = propose(database, ROOT, offer(row()), proposed_by="olga").version
    assert old is not None
    accepted(database, [row("other")])
    with pytest.raises(Conflict, match="propose again"):
        accept(database, ROOT, old.id, accepted_by="olga")


def test_of_two_acceptances_at_once_one_wins(database: Database) -> None:
    """The other is told to propose again."""
    versions = [propose(database, ROOT, offer(row(name)), proposed_by="olga").version for name in ("a", "b")]

    def take(version_id: int) -> object:
        try:
            return accept(database, ROOT, version_id, accepted_by="olga").version_id
        except Conflict as error:
            return error.reason

    results = at_once(*[lambda v=version: take(v.id) for version in versions if version is not None])
    won = [result for result in results if isinstance(result, int)]
    assert len(won) == 1
    assert [result for result in results if result not in won] == [
        f"was proposed against no version, and version {won[0]} is active now: propose again"
    ]


def test_proposals_at_once_share_what_is_new_in_both(database: Database, rows: Rows) -> None:
    """Neither waits in a circle for the other, and equal rows are one."""
    mine, yours = ([row(f"m{n}") for n in range(first, 1_500, 2)] + [row(f"s{n}") for n in range(500)] for first in (0, 1))
    results = at_once(*[lambda r=r: propose(database, ROOT, offer(*r), proposed_by="olga") for r in (mine, yours[::-1], mine)])
    assert [result.version is not None for result in results] == [True] * 3
    assert rows("SELECT count(*) AS n FROM price_rows") == [{"n": 2_000}]


def test_a_version_is_read_without_the_others(database: Database, rows: Rows) -> None:
    """Of forty versions that a book has had, loading one reads the rows of that one by the index."""
    accepted(database, [row(f"m{n}") for n in range(500)])
    for number in range(40):
        accepted(database, [row("m0", amount=str(number + 6))])
    rows("ANALYZE price_book")
    with database.transaction() as connection:
        active = price_state(connection).active_version
    plan = str(rows("EXPLAIN SELECT * FROM price_book b JOIN price_rows r ON r.id = b.row_id WHERE b.version_id = :v", v=active))
    assert "Seq Scan on price_book" not in plan


def test_accepting_what_is_not_there_is_told(database: Database) -> None:
    """An unknown version is named."""
    with pytest.raises(NotFound, match="version 7"):
        accept(database, ROOT, 7, accepted_by="olga")


def test_only_root_changes_prices(database: Database) -> None:
    """Others are told that they may not."""
    with pytest.raises(Forbidden):
        propose(database, user("ada"), offer(row()), proposed_by="ada")
    with pytest.raises(Forbidden):
        accept(database, user("ada"), 1, accepted_by="ada")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (row(), row(amount="6")),
        (row(since="2026-01-01"), row(since="2026-06-01")),
        (row(from_tokens=200_000), row(from_tokens=200_000, boundary=">=")),
        (row(), row(from_tokens=200_000)),
    ],
    ids=["same", "overlapping times", "two boundaries of one tier", "all tiers and one of them"],
)
def test_overlapping_rows_are_refused(first: object, second: object, database: Database) -> None:
    """Two rows that price the same at one time are both named, and nothing is written."""
    with pytest.raises(LinesRefused) as refused:
        propose(database, ROOT, offer(first, second), proposed_by="olga")  # type: ignore[arg-type]
    assert "price the same at one time" in refused.value.lines[0]


@pytest.mark.parametrize(
    "change", ["from_tokens = 5, boundary = '>'", "valid = tstzrange('2026-01-01', NULL)", "amount = 6"], ids=["tiered", "later", "dearer"]
)
def test_the_database_itself_refuses_overlapping_rows(change: str, database: Database, rows: Rows) -> None:
    """A program that wrote past all checks is stopped by the exclusion constraint."""
    version = propose(database, ROOT, offer(row()), proposed_by="olga").version
    assert version is not None
    columns = "layer, provider, model, region_scope, service_tier, processing, speed, leaf, per, currency"
    name, value = [part.strip() for part in change.split(" = ", 1)] if "from_tokens" not in change else ("from_tokens, boundary", "5, '>'")
    others = ", ".join(c for c in ("amount", "valid") if c != name)
    rows(f"INSERT INTO price_rows (content_hash, {columns}, {others}, {name}) SELECT '\\x00', {columns}, {others}, {value} FROM price_rows")
    with pytest.raises(BadData) as refused:
        rows("INSERT INTO price_book (version_id, row_id) SELECT :v, max(id) FROM price_rows", v=version.id)
    assert refused.value.sqlstate == "23P01"


CHANGES = [
    "UPDATE price_rows SET amount = 0",
    "DELETE FROM price_rows",
    "TRUNCATE price_rows",
    "UPDATE price_book SET valid = 'empty'",
    "DELETE FROM price_book",
    "TRUNCATE price_book",
    "INSERT INTO price_book (version_id, row_id) SELECT version_id, row_id FROM price_book",
    "UPDATE price_versions SET defaults = '{}'",
    "DELETE FROM price_versions",
    "TRUNCATE price_versions",
]


@pytest.mark.parametrize("statement", CHANGES)
def test_what_is_accepted_stays_for_everybody(statement: str, database: Database, rows: Rows) -> None:
    """Not even the owner's login changes rows or versions that were accepted."""
    accepted(database, [row()])
    with pytest.raises(BadData, match="stays as it"):
        rows(statement)


@pytest.mark.parametrize("statement", [one for one in CHANGES if "INSERT" not in one])
def test_the_workers_login_has_no_right_to_change_the_book(statement: str, database: Database) -> None:
    """PostgreSQL refuses it before any trigger is asked."""
    accepted(database, [row()])
    with pytest.raises(Misconfigured), database.transaction() as connection:
        connection.execute(text(statement))


def test_a_price_that_changes_from_a_day_on_leaves_what_was_before(database: Database) -> None:
    """The old row ends where the new one begins; together they cover what the old one did."""
    accepted(database, [row(amount="5")])
    version = accepted(database, [row(amount="4", since="2026-10-01")])
    with database.transaction() as connection:
        found = [(one.amount, one.valid_from, one.valid_to) for one in load_book(connection, version)]
    assert sorted(found) == [(Decimal(4), at("2026-10-01"), None), (Decimal(5), None, at("2026-10-01"))]


def test_an_undated_change_holds_from_the_moment_that_is_named(database: Database) -> None:
    """What was rated before `since` would be rated the same today; without `since` the past changes too."""
    accepted(database, [row(amount="5"), row(leaf="output", amount="15")])
    proposal = propose(database, ROOT, offer(row(amount="4"), row(leaf="output", amount="15")), proposed_by="olga", since=at("2026-11-27"))
    (model,) = proposal.diff.models
    assert [(change.kind, change.before, change.after, change.valid_from) for change in model.changes] == [
        ("changed", Decimal(5), Decimal(4), at("2026-11-27"))
    ]
    whole = propose(database, ROOT, offer(row(amount="4")), proposed_by="olga")
    assert [(change.kind, change.valid_from) for change in whole.diff.models[0].changes] == [("changed", None)]


def test_what_a_source_lacks_stays_unless_it_is_dropped(database: Database) -> None:
    """It is told, and ends only by the operator's word; even then what happened before keeps its price."""
    accepted(database, [row("old"), row("kept")])
    source = offer(row("kept"), row("new"), covered=frozenset({"openai"}))
    stays = propose(database, ROOT, source, proposed_by="olga")
    assert stays.version is not None
    assert stays.version.notes["gone_count"] == 1
    assert [model for model, *_ in book(database, stays.version.id)] == ["kept", "new", "old"]
    ends = propose(database, ROOT, source, proposed_by="olga", drop_gone_at=at("2026-11-27"))
    assert ends.version is not None
    with database.transaction() as connection:
        assert [one.valid_to for one in load_book(connection, ends.version.id) if one.model == "old"] == [at("2026-11-27")]
    assert ends.diff.counts["gone"] == 1


def test_tiers_of_a_leaf_are_told_together(database: Database) -> None:
    """A leaf that gets tiers loses its row for all of them, and a threshold that moved leaves none of the old one."""
    accepted(database, [row(amount="1")])
    tiered = [row(amount="1", from_tokens=0), row(amount="2", from_tokens=200_000)]
    accepted(database, tiered)
    version = accepted(database, [tiered[0], row(amount="2", from_tokens=272_000)])
    with database.transaction() as connection:
        assert sorted((one.from_tokens or 0, one.amount) for one in load_book(connection, version)) == [(0, Decimal(1)), (272_000, Decimal(2))]


def test_rows_of_all_layers_stand_beside_each_other(database: Database) -> None:
    """A contract, the operator's price, the list's and a sale book price the same leaf without contradicting each other."""
    layers = [
        row(),
        row(layer=Layer.OPERATOR, amount="4"),
        row(layer=Layer.MANDATE, mandate_id="acme", amount="3"),
        row(layer=Layer.SALE, book="gold", currency="CHF", amount="9"),
    ]
    assert len(book(database, accepted(database, layers))) == 4


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"amount": Decimal(-1)}, "amount is not 0 to"),
        ({"amount": Decimal("0.0000000000001")}, "amount has more than twelve decimal places"),
        ({"amount": Decimal("NaN")}, "amount is not 0 to"),
        ({"currency": "usd"}, "currency is not three capital letters"),
        ({"per": 60}, "per is none of 1, 1000, 1000000"),
        ({"layer": Layer.MANDATE}, "mandate_id is for rows of the layer mandate"),
        ({"mandate_id": "acme"}, "mandate_id is for rows of the layer mandate"),
        ({"layer": Layer.SALE, "book": "gold"}, "currency must be CHF"),
        ({"region_scope": ""}, "region_scope is empty"),
        ({"model": "a\x00b"}, "model has a control character"),
        ({"valid_from": at("2026-01-01"), "valid_to": at("2026-01-01")}, "valid_to is not after valid_from"),
    ],
)
def test_a_row_that_cannot_be_is_named(fields: dict[str, object], told: str, database: Database) -> None:
    """Field, value and rule are told, and nothing is written."""
    with pytest.raises(LinesRefused) as refused:
        propose(database, ROOT, offer(replace(row(), **fields)), proposed_by="olga")  # type: ignore[arg-type]
    assert told in refused.value.lines[0]
