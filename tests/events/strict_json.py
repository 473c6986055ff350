"""A strict JSON reader by the letter of RFC 8259, for comparison: slow, small, and shares nothing with the product."""

import re
from decimal import Decimal

_BLANKS = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_CONSTANTS = {"true": True, "false": False, "null": None}


class Refused(Exception):
    """It is not JSON, gives a key twice or is nested too deeply."""


class Reader:
    """Reads one text."""

    def __init__(self, text: str, levels: int) -> None:
        self.text, self.levels, self.at = text, levels, 0

    def document(self) -> object:
        """The value of the whole text."""
        value = self.value(self.levels)
        self.blanks()
        if self.at != len(self.text):
            raise Refused
        return value

    def blanks(self) -> None:
        """Skips blanks."""
        found = _BLANKS.match(self.text, self.at)
        assert found
        self.at = found.end()

    def take(self, token: str) -> bool:
        """Skips blanks and, if it comes next, the token."""
        self.blanks()
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def value(self, levels: int) -> object:
        """The value that comes next, in which `levels` of nesting are left."""
        if self.take("{"):
            return self.fields(levels - 1)
        if self.take("["):
            return self.items(levels - 1)
        if self.take('"'):
            return self.string()
        for name, constant in _CONSTANTS.items():
            if self.take(name):
                return constant
        return self.number()

    def number(self) -> int | Decimal:
        """A number, exactly."""
        found = _NUMBER.match(self.text, self.at)
        if not found:
            raise Refused
        self.at = found.end()
        return Decimal(found[0]) if found[1] or found[2] else int(found[0])

    def string(self) -> str:
        """A string whose opening mark is read."""
        parts = []
        while True:
            plain = _PLAIN.match(self.text, self.at)
            assert plain
            parts.append(plain[0])
            self.at = plain.end() + 1
            mark = self.text[plain.end() : self.at]
            if mark == '"':
                return _SURROGATES.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), "".join(parts))
            if mark != "\\":
                raise Refused
            parts.append(self.escape())

    def escape(self) -> str:
        """What follows a backslash."""
        kind = self.text[self.at : self.at + 1]
        self.at += 1
        if kind in _ESCAPES:
            return _ESCAPES[kind]
        digits = self.text[self.at : self.at + 4]
        if kind != "u" or not re.fullmatch("[0-9a-fA-F]{4}", digits):
            raise Refused
        self.at += 4
        return chr(int(digits, 16))

    def items(self, levels: int) -> list[object]:
        """An array whose opening bracket is read."""
        self.deeper(levels)
        values: list[object] = []
        if self.take("]"):
            return values
        while True:
            values.append(self.value(levels))
            if self.take("]"):
                return values
            if not self.take(","):
                raise Refused

    def fields(self, levels: int) -> dict[str, object]:
        """An object whose opening brace is read."""
        self.deeper(levels)
        fields: dict[str, object] = {}
        if self.take("}"):
            return fields
        while True:
            name = self.string() if self.take('"') else None
            if name is None or name in fields or not self.take(":"):
                raise Refused
            fields[name] = self.value(levels)
            if self.take("}"):
                return fields
            if not self.take(","):
                raise Refused

    @staticmethod
    def deeper(levels: int) -> None:
        """Refuses where no level is left."""
        if levels < 0:
            raise Refused


def read(body: bytes, levels: int) -> object:
    """The value of `body`.

    Raises:
        Refused: there is none.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused from None
    return Reader(text, levels).document()
