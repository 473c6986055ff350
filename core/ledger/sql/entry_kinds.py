"""SQL that tells kinds of ledger entries apart, made from the table of kinds."""

from collections.abc import Iterable

from core.ledger.kinds import EntryKind


def listed(reference_types: Iterable[str]) -> str:
    """These reference types as a list for IN."""
    return "(" + ", ".join(f"'{name}'" for name in dict.fromkeys(reference_types)) + ")"


def is_of(kinds: Iterable[EntryKind], entry: str = "t") -> str:
    """The condition that `entry`, an alias of transactions, is of one of these kinds."""
    by_type: dict[str, list[str]] = {}
    for kind in kinds:
        by_type.setdefault(kind.transaction_type, []).append(kind.reference_type)
    same = [f"{entry}.transaction_type = '{name}' AND {entry}.reference_type IN {listed(own)}" for name, own in by_type.items()]
    return f"({' OR '.join(same)})"
