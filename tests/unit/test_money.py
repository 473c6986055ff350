"""Money: exact decimals of nine places, rounded once, half to even."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events.model import parse_price
from core.money import PRICE_MAX, QUANTUM, parse_decimal, quantize_price
from tests.sample_events import event, parsed, rejection_of

PRICES = st.decimals(min_value=0, max_value=PRICE_MAX, allow_nan=False, allow_infinity=False)


_NO_DECIMALS = [
    *["", " ", " 1", "1 ", "1\n", "NaN", "sNaN", "Infinity", "-inf", "1_000", "1,5", "\uff11", "\u0661", "0x10", "1e", "e5", ".", "-", "+", "--1"],
    *["1e1234567", "1" * 201, "1.5.2", "\u22121", "1\u0000", "CHF 5", "1/3", "True"],
]


def _half_even(value: Decimal) -> Fraction:
    """Nine places, half to even, by integers alone."""
    units = Fraction(value) * 10**9
    floor = units.numerator // units.denominator
    rest = units - floor
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1)
    return Fraction(floor + up, 10**9)


@given(PRICES)
def test_a_price_is_rounded_half_even_to_nine_places(value: Decimal) -> None:
    """Quantising gives what integer arithmetic says, with exactly nine places."""
    price = quantize_price(value)
    assert Fraction(price) == _half_even(value)
    assert price.as_tuple().exponent == -9


@given(PRICES)
def test_quantising_twice_changes_nothing(value: Decimal) -> None:
    """Nothing is rounded a second time: quantising is idempotent."""
    assert quantize_price(quantize_price(value)) == quantize_price(value)


@given(st.integers(0, 10**15))
def test_a_price_of_nine_places_comes_out_as_it_went_in(units: int) -> None:
    """Every amount that NUMERIC(20,9) can hold in the range of prices survives unchanged."""
    text = f"{units // 10**9}.{units % 10**9:09}"
    assert format(parse_price(text), ".9f") == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0000000005", "0.000000000"),
        ("0.0000000015", "0.000000002"),
        ("0.0000000025", "0.000000002"),
        ("0.00000000250000000000000000000000001", "0.000000003"),
        ("0.1234567890123456789", "0.123456789"),
        ("999999.123456789", "999999.123456789"),
        ("1e-30", "0.000000000"),
        ("1e-999999", "0.000000000"),
        ("3.4E-7", "0.000000340"),
        ("1000000", "1000000.000000000"),
        ("1e6", "1000000.000000000"),
        (".5", "0.500000000"),
        ("5.", "5.000000000"),
        ("+1.5", "1.500000000"),
        ("-0", "0.000000000"),
        ("-0.000", "0.000000000"),
        ("0." + "1" * 190, "0.111111111"),
    ],
)
def test_a_decimal_string_becomes_this_price(text: str, expected: str) -> None:
    """A decimal string is read exactly and quantised once; -0 is 0."""
    assert str(parse_price(text)) == str(Decimal(expected))
    assert not parse_price(text).is_signed()


@pytest.mark.parametrize("number", ["0.1234567890123456789", "999999.123456789", "1e-7", "0", "-0", "-0.0", "1000000", "3E5", "0." + "3" * 5000])
def test_a_json_number_never_passes_a_float(number: str) -> None:
    """A price written as a JSON number is the exact decimal that was written, quantised once."""
    body = b'{"event_id":"e","mandate_id":"m","user_id":"u","occurred_at":"2026-01-01T00:00:00Z","price_chf":' + number.encode() + b"}"
    assert Fraction(parsed(body).price_chf or 0) == _half_even(Decimal(number))


@pytest.mark.parametrize(
    "text",
    _NO_DECIMALS,
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    """Only ASCII decimal literals are amounts; what Decimal() takes beyond them is not."""
    with pytest.raises(ValueError, match="plain decimal"):
        parse_decimal(text)
    rejection = rejection_of(event(price_chf=text))
    assert rejection.reason == "invalid_field"
    assert rejection.detail.startswith("price_chf ")


@pytest.mark.parametrize(
    "price",
    [
        '"-1"',
        '"-1e-30"',
        '"1000000.000000001"',
        '"1e400"',
        '"9e999999"',
        "-1",
        "-1e-30",
        "1000001",
        "1e400",
        "true",
        "false",
        "[]",
        "{}",
        '["1"]',
    ],
)
def test_a_price_out_of_range_or_of_another_type_is_refused(price: str) -> None:
    """Negative, above a million, or no number at all: each is a named refusal of `price_chf`."""
    _refused_price(price)


@pytest.mark.parametrize("digits", [400, 4200, 5000, 50_000])
def test_a_price_of_thousands_of_digits_is_refused(digits: int) -> None:
    """An integer beyond the interpreter's own limit is above a million like any other, and is cut in the detail."""
    assert len(_refused_price("1" * digits)) < 1000


def _refused_price(price: str) -> str:
    body = b'{"event_id":"e","mandate_id":"m","user_id":"u","occurred_at":"2026-01-01T00:00:00Z","price_chf":' + price.encode() + b"}"
    rejection = rejection_of(body)
    assert rejection.reason == "invalid_field"
    assert rejection.detail.startswith("price_chf ")
    return rejection.detail


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_no_amount_is_nan_or_infinite(text: str) -> None:
    """NaN and the infinities never become a price, not even as Decimal objects."""
    with pytest.raises(ValueError, match="finite"):
        quantize_price(Decimal(text))


@given(st.text(max_size=30))
def test_any_text_is_a_decimal_or_refused(text: str) -> None:
    """Whatever the text, the answer is an exact finite decimal or a ValueError, never another exception."""
    try:
        value = parse_decimal(text)
    except ValueError:
        return
    assert value.is_finite()
    assert Fraction(value) == Fraction(text.rstrip(".") if text.endswith(".") else text.replace(".e", "e").replace(".E", "E"))


def test_the_quantum_is_a_billionth() -> None:
    """Nine decimal places, as in NUMERIC(20,9)."""
    assert Decimal(1).scaleb(-9) == QUANTUM
