"""Small texts for people."""

from core.printable import printable as printable  # noqa: PLC0414 - what the commands print goes through this module


def decoded(body: bytes) -> str:
    r"""The bytes as UTF-8 text for people: whatever is none, and every control character but line ends, as an escape."""
    return printable(body.decode("utf-8", "backslashreplace"), keep="\n")


def age_text(seconds: float) -> str:
    """How long it is, in the two greatest units: `45 s`, `12 min 5 s`, `3 h 12 min`, `9 d 4 h`."""
    whole = max(round(seconds), 0)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, whole = divmod(whole, size)
        parts.append((number, unit))
    first = next((n for n, (number, _) in enumerate(parts) if number), len(parts) - 1)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number or first == len(parts) - 1)


def counted(number: int, thing: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
