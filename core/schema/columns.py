"""The kinds of columns and checks that every table is made of.

Texts that identify something compare bytewise (COLLATE "C"), money is NUMERIC(20,9) in CHF, a balance or a sum NUMERIC(29,9), and
every time is aware.
"""

from enum import StrEnum

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, DateTime, MetaData, Numeric, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from core.database.event_columns import CALL_COLUMNS
from core.money import AMOUNT_MAX
from core.settings.model import Number

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BALANCE_ROOM = "10000000000000000000"  # CHF: with nine decimal places below it, what Python's decimals of 28 digits hold exactly


def key(name: str, *, nullable: bool = False) -> Column[str]:
    """A text that identifies something."""
    return Column(name, Text(collation="C"), nullable=nullable)


def money(name: str, *, nullable: bool = False, default: str | None = None) -> Column[object]:
    """An amount in CHF."""
    return Column(name, Numeric(20, 9), nullable=nullable, server_default=default)


def balance(name: str, *, default: str | None = None) -> Column[object]:
    """A balance in CHF, or a line that it is compared with; usage may take it beyond the bound of single amounts."""
    return Column(name, Numeric(29, 9), nullable=False, server_default=default)


def total(name: str) -> Column[object]:
    """A sum of amounts in CHF, of as many entries as there may be; 0 by default."""
    return Column(name, Numeric(29, 9), nullable=False, server_default=text("0"))


def token_total(name: str) -> Column[object]:
    """A sum of token counts, each of which may be as large as 2^53 - 1; 0 by default."""
    return Column(name, Numeric(30, 0), nullable=False, server_default=text("0"))


def time(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    """An aware point in time that Python can hold; with `now` the database's own by default."""
    return Column(name, DateTime(timezone=True), _readable(name, " 00:00:00+00"), nullable=nullable, server_default=func.now() if now else None)


def day(name: str) -> Column[object]:
    """A calendar day that Python can hold."""
    return Column(name, Date, _readable(name), nullable=False)


def _readable(name: str, midnight: str = "") -> CheckConstraint:
    return CheckConstraint(f"{name} >= '0001-01-01{midnight}' AND {name} < '10000-01-01{midnight}'", name=f"{name}_time")


def count(name: str) -> Column[int]:
    """A number of something, 0 by default."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def setting(name: str, kind: object, number: Number | None) -> Column[object]:
    """A field of billing settings of this type in Python; a number with room for its greatest value."""
    if number is not None:
        return Column(name, Numeric(len(str(number.most)) + number.places, number.places), nullable=False)
    empty = text("'{}'") if kind in (list[str], dict[str, str]) else None
    types: dict[object, object] = {bool: Boolean, list[str]: ARRAY(Text), dict[str, str]: JSONB}
    return Column(name, types.get(kind, Text), nullable=False, server_default=empty)  # type: ignore[arg-type]


def call_columns() -> list[Column[object]]:
    """What an event of version 2 tells of the call."""
    types: dict[str, object] = {"numeric": Numeric, "smallint": SmallInteger, "bigint": BigInteger, "boolean": Boolean}
    return [Column(name, types.get(kind, Text)) for name, kind in CALL_COLUMNS.items()]  # type: ignore[arg-type]


def in_range(*columns: str) -> list[CheckConstraint]:
    """Checks that refuse what no ledger holds, and NaN: BETWEEN does, while every other comparison sorts it above all numbers."""
    return [CheckConstraint(f"{c} BETWEEN -{AMOUNT_MAX} AND {AMOUNT_MAX}", name=f"{c}_range") for c in columns]


def in_room(*columns: str) -> list[CheckConstraint]:
    """Checks that refuse NaN, and balances that Python would round."""
    return [CheckConstraint(f"abs({c}) < {BALANCE_ROOM}", name=f"{c}_room") for c in columns]


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """A check that the column holds a value of a closed list."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(v.value) for v in values)})", name=f"{column}_known")
