"""Text that somebody else wrote, made fit for a terminal: nothing in it can move the cursor, colour or rewrite what stands there."""

import unicodedata

_HOSTILE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # controls, bidirectional marks, surrogates, line separators


def printable(text: str, *, keep: str = "") -> str:
    r"""`text` with every character that isn't plainly visible as an escape such as `\x1b`, but for those in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or unicodedata.category(c) not in _HOSTILE else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode() if not character.isascii() else f"\\x{ord(character):02x}"


def shown(value: object, length_max: int = 120) -> str:
    """`value` as one line of printable ASCII, cut to `length_max` characters, fit for a log line or a dead letter's detail."""
    text = ascii(value[: length_max + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= length_max else text[: length_max - 3] + "..."


def one_line(text: str, length_max: int = 500) -> str:
    """`text` as `shown` gives it, but without quotation marks."""
    return shown(text, length_max + 2)[1:-1]
