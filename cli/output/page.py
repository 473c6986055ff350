"""What the pages for browsers share: nothing in them comes from elsewhere, and nothing in them runs.

Amounts are exact. In a table they all have as many decimal places as the longest one needs, and never fewer than two.
"""

import base64
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from cli.output.text import printable
from core.money import ZERO

_PLACES_MIN = 2
_JOINERS = "\u200c\u200d"  # which some scripts and emojis need


def page(template: str, *, styles: Sequence[str] = ("page.css",), **values: object) -> str:
    """The page that the template of this name makes of the values, as one HTML document in UTF-8."""
    style = "".join(map(_file, styles))
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    return _environment().get_template(template).render(**values, style=Markup(style), style_hash=digest)  # noqa: S704 - it is ours


def amount(value: Decimal, places: int) -> Markup:
    """`value` with so many decimal places, as `places` gives them; those after the second stand smaller, thousands are set apart."""
    whole, _, decimals = f"{abs(value):.{places}f}".partition(".")
    sign, set_apart = ("\u2212" if value < 0 else ""), grouped(int(whole))
    rest = Markup("<small>{}</small>").format(decimals[_PLACES_MIN:]) if places > _PLACES_MIN else ""
    return Markup("{}{}.{}{}").format(sign, set_apart, decimals[:_PLACES_MIN], rest)


def places(values: Iterable[Decimal]) -> int:
    """As many decimal places as it takes to show each of the amounts whole, at least two."""
    return max([_PLACES_MIN, *(len(f"{value:f}".partition(".")[2].rstrip("0")) for value in values)])


def exact(value: Decimal) -> str:
    """`value` as `amount` has it with as many places as it needs, but as plain text, which is all that a drawing takes."""
    return amount(value, places([value])).striptags()


def grouped(number: int) -> str:
    """A whole number with its thousands set apart."""
    return f"{number:,}".replace(",", "\u2019")


def plain(text: str) -> str:
    """Text that somebody else wrote, without what could turn the line around; escaping it for HTML is the template's business."""
    return printable(text, keep=_JOINERS)


def share(cost: Decimal, greatest: Decimal) -> Decimal:
    """How long the bar of a line is, of 100."""
    return round(100 * max(cost, ZERO) / greatest, 1) if greatest > 0 else ZERO


def _file(name: str) -> str:
    return files("cli.output").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    environment.filters.update(amount=amount, grouped=grouped, plain=plain)
    environment.globals.update(exact=exact, places=places, share=share)
    return environment
