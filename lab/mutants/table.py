"""The table of mutants in `docs/mutants.md`."""

from lab.mutants.catalogue import MUTANTS, NO_OP


def mutants_table() -> str:
    """Each mutant, what is broken, the check that must notice it and what that says, as a table of Markdown."""
    lines = ["| mutant | what is broken | caught by | which says |", "|---|---|---|---|"]
    for mutant in MUTANTS:
        catcher, says = ("nothing: all of these checks pass", "") if mutant.name == NO_OP else (f"`{mutant.catcher}`", f"`{mutant.says}`")
        lines.append(f"| `{mutant.name}` | {mutant.broken} | {catcher} | {says} |")
    return "\n".join(lines)
