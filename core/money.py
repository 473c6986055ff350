"""Money: CHF as exact decimals of nine places, never a float."""

import re
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal

QUANTUM = Decimal("0.000000001")
ZERO = Decimal("0.000000000")
PRICE_MAX = Decimal(1_000_000)  # CHF
AMOUNT_MAX = 10_000_000_000  # CHF, what a column of the books holds

# Decimal() alone also takes "NaN", "1_000", full-width digits and surrounding blanks.
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_DIGITS_MAX = 200
EXACT = Context(prec=_DIGITS_MAX + 40, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX)


def parse_decimal(text: str) -> Decimal:
    """The exact value of an ASCII decimal literal such as `12.5`, `-0` or `3.4E-7`.

    Raises:
        ValueError: `text` is anything else (NaN, infinity, underscores, blanks, other scripts' digits, over 200 characters).
    """
    if len(text) > _DIGITS_MAX or not text.isascii() or _DECIMAL.fullmatch(text) is None:
        raise ValueError("is not a plain decimal number")
    return Decimal(text)


def quantize_price(value: Decimal) -> Decimal:
    """`value` in CHF to nine places, half-even, with -0 made 0: the one rounding that a price ever gets.

    Raises:
        ValueError: it is NaN, infinite, negative or above 1 000 000 CHF.
    """
    if not value.is_finite():
        raise ValueError("is not a finite number")
    if value < 0:
        raise ValueError("is negative")
    if value > PRICE_MAX:
        raise ValueError(f"is above {PRICE_MAX} CHF")
    return EXACT.quantize(value, QUANTUM) + ZERO
