"""Small texts for people."""

from core.printable import printable as printable  # noqa: PLC0414 - what the commands print goes through this module


def decoded(body: bytes) -> str:
    r"""The bytes as UTF-8 text for people: whatever is none, and every control character but line ends, as an escape."""
    return printable(body.decode("utf-8", "backslashreplace"), keep="\n")


def counted(number: int, thing: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
