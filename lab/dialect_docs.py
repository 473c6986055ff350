"""The generated parts of docs/dialects.md."""

import re

from core.dialects.all import DIALECTS
from core.dialects.model import INPUT_LEAVES, OUTPUT_LEAVES, Leaf


def leaves_table() -> str:
    """The leaves, by what they are parts of."""
    units = [leaf for leaf in Leaf if leaf not in (*INPUT_LEAVES, *OUTPUT_LEAVES)]
    rows = (("input", INPUT_LEAVES), ("output", OUTPUT_LEAVES), ("units, each by itself", units))
    lines = ["| together | leaves |", "|---|---|"]
    lines += [f"| {name} | {', '.join(f'`{leaf}`' for leaf in leaves)} |" for name, leaves in rows]
    return "\n".join(lines)


def dialects_tables() -> str:
    """Each dialect: its version, what must add up, and what becomes of each key."""
    parts = []
    for name, dialect in DIALECTS.items():
        identity = f" Checked: {dialect.identity}." if dialect.identity else ""
        rows = [f"| `{key}` | {_meaning(meaning)} |" for key, meaning in dialect.keys.items()]
        head = [f"### {name}", "", f"Version {dialect.version}, of {dialect.dated.isoformat()}.{identity}", ""]
        parts.append("\n".join([*head, "| key | becomes |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _meaning(meaning: str) -> str:
    """A meaning with its leaves as code."""
    return re.sub(r"\w+", lambda word: f"`{word[0]}`" if word[0] in set(Leaf) else word[0], meaning)
