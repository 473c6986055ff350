"""Rows are bound by the names of their columns."""

from dataclasses import dataclass

import pytest
from sqlalchemy import text

from core.billing import BillingModel
from core.database.database import Database
from core.database.rows import row, rows


@dataclass(frozen=True, slots=True)
class Shown:
    """What the queries below find."""

    name: str
    count: int
    model: BillingModel | None = None


@dataclass(frozen=True, slots=True)
class OfModel:
    """With a field of an enum."""

    model: BillingModel


def test_the_order_of_columns_does_not_matter(database: Database) -> None:
    """Each goes into the field of its name."""
    with database.snapshot() as connection:
        assert rows(connection, Shown, text("SELECT 2 AS count, 'a' AS name UNION ALL SELECT 3, 'b'")) == [Shown("a", 2), Shown("b", 3)]


@pytest.mark.parametrize("columns", ["'a' AS name", "'a' AS name, 1 AS count, 2 AS more"])
def test_a_column_too_many_or_too_few_is_an_error(columns: str, database: Database) -> None:
    """Nothing is left out in silence."""
    with database.snapshot() as connection, pytest.raises(TypeError, match="argument"):
        rows(connection, Shown, text(f"SELECT {columns}"))


def test_two_columns_of_one_name_are_an_error(database: Database) -> None:
    """One would hide the other."""
    with database.snapshot() as connection, pytest.raises(AssertionError, match="name"):
        rows(connection, Shown, text("SELECT 'a' AS name, 1 AS count, 'b' AS name"))


def test_sums_become_whole_numbers_and_words_enums(database: Database) -> None:
    """As the fields' types say."""
    with database.snapshot() as connection:
        (found,) = rows(connection, Shown, text("SELECT 'a' AS name, sum(n) AS count FROM (SELECT CAST(1 AS numeric) AS n) AS one"))
        model = row(connection, OfModel, text("SELECT 'PREPAY_USER' AS model"))
    assert (found.count, type(found.count)) == (1, int)
    assert model is not None
    assert model.model is BillingModel.PREPAY_USER


def test_one_row_is_one_or_none(database: Database) -> None:
    """Several where one was asked for are an error."""
    few = text("SELECT 'a' AS name, n AS count FROM generate_series(1, CAST(:many AS int)) n")
    with database.snapshot() as connection:
        assert row(connection, Shown, few, many=0) is None
        assert row(connection, Shown, few, many=1) == Shown("a", 1)
        with pytest.raises(ValueError, match="too many values"):
            row(connection, Shown, few, many=2)
