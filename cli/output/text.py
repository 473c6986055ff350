"""Text that somebody else wrote, made fit for a terminal: nothing in it can move the cursor, colour or rewrite what stands there."""

import unicodedata

_HOSTILE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # controls, bidirectional marks, surrogates, line separators


def printable(text: str, *, keep: str = "") -> str:
    r"""`text` with every character that isn't plainly visible as an escape such as `\x1b`, but for those in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or unicodedata.category(c) not in _HOSTILE else _escaped(c) for c in text)


def decoded(body: bytes) -> str:
    r"""The bytes as UTF-8 text for people: whatever is none, and every control character but line ends, as an escape."""
    return printable(body.decode("utf-8", "backslashreplace"), keep="\n")


def counted(number: int, thing: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode() if not character.isascii() else f"\\x{ord(character):02x}"
