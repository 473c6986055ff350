"""Prices for people."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import typer

from cli.output.tables import print_table
from cli.output.text import counted, printable
from core.dialects.model import DIMENSIONS, UNITS, Leaf
from core.money import EXACT
from core.prices.diff import Change, Diff
from core.prices.model import PriceRow

_CHANGES_SHOWN_MAX = 40
_NAMED_MAX = 20
_LEAVES = tuple(Leaf)
_NEVER = Decimal(10) ** 9  # from 0 on no change is so many times as much


def print_rows(rows: Sequence[PriceRow]) -> None:
    """Rows in the order in which one looks for one: whose, which choice, which leaf, which tier, from when on."""
    ordered = sorted(
        rows,
        key=lambda row: (
            row.provider,
            row.model,
            row.layer,
            row.mandate_id,
            row.book,
            *(getattr(row, name) for name in DIMENSIONS),
            _LEAVES.index(row.leaf),
            row.from_tokens or 0,
            row.valid_from is not None and row.valid_from.timestamp(),
        ),
    )
    headings = ("provider", "model", "layer", "whose", *DIMENSIONS, "leaf", "tier", "amount", "per", "currency", "from (UTC)", "to (UTC)", "basis")
    print_table(headings, map(_row, ordered), free=("basis",))


def _row(row: PriceRow) -> tuple[object, ...]:
    per = 1_000 if row.leaf in UNITS else 1_000_000
    amount = EXACT.divide(EXACT.multiply(row.amount, Decimal(per)), Decimal(row.per))
    tier = "all" if row.from_tokens is None else f"{row.boundary} {row.from_tokens}"
    own = tuple(getattr(row, name) for name in DIMENSIONS)
    begins, ends = row.valid_from or "always", row.valid_to
    whose = row.mandate_id or row.book or None
    return row.provider, row.model, row.layer, whose, *own, row.leaf, tier, plain(amount), per, row.currency, begins, ends, row.basis


def print_diff(diff: Diff, *, every: bool) -> None:
    """The changes, the biggest first; then which defaults change, and what the source could not say."""
    changes = [(model.provider, model.model, change) for model in diff.models for change in model.changes]
    shown = changes if every else changes[:_CHANGES_SHOWN_MAX]
    if shown:
        headings = ("provider", "model", "change", "leaf", "tier", "choice", "before", "after", "%", "currency", "from (UTC)", "layer")
        print_table(headings, [_change(*one) for one in shown], free=("choice",))
    if len(changes) > len(shown):
        typer.echo(f"and {counted(len(changes) - len(shown), 'further change')}: --all shows them")
    typer.echo(", ".join(f"{kind}: {count}" for kind, count in diff.counts.items()))
    for provider, values in diff.defaults.items():
        for dimension, (before, after) in values.items():
            typer.echo(f"default of {printable(provider)}: {dimension} {printable(str(before))} -> {printable(str(after))}")
    _print_notes(diff.notes)


def _change(provider: str, model: str, change: Change) -> tuple[object, ...]:
    tier = "all" if change.from_tokens is None else f"from {change.from_tokens}"
    choice = "/".join(change.dimensions)
    percent = None if change.relative == 0 else "from 0" if change.relative > _NEVER else f"{change.relative * 100:.1f}"
    layer = f"{change.layer} {change.whose}".strip()
    before, after = (None if one is None else plain(one) for one in (change.before, change.after))
    when = change.valid_from or "always"
    return provider, model, change.kind, change.leaf, tier, choice, before, after, percent, change.currency, when, layer


def _print_notes(notes: Any) -> None:
    """What was left out or converted, each kind with its first entries."""
    refused = notes.get("refused") or ()
    for reason, count in (notes.get("refused_counts") or {}).items():
        typer.echo(f"left out, {reason}: {count}")
        for one in [one for one in refused if one["reason"] == reason][:_NAMED_MAX]:
            typer.echo(printable(f"  {one['provider']} {one['model']}: {one['detail']}"))
        if count > _NAMED_MAX:
            typer.echo(f"  and {count - _NAMED_MAX} further ones: --json names them")
    for one in (notes.get("converted") or ())[:_NAMED_MAX]:
        rounded = ", rounded" if one["rounded"] else ""
        typer.echo(printable(f"converted: {one['provider']} {one['model']} {one['leaf']}: {one['stated']} is {one['taken']}{rounded}"))
    if notes.get("gone_count"):
        typer.echo(f"not in the source any more: {counted(notes['gone_count'], 'row')}, which stay unless --drop-gone ends them")
    if notes.get("without_default"):
        named = ", ".join(notes["without_default"][:_NAMED_MAX])
        typer.echo(printable(f"no default: {named}; calls that don't tell it have no price (--default sets one)"))
    for name in ("models_compared", "models_only_in_book", "models_only_in_file"):
        if name in notes:
            typer.echo(f"{name.replace('_', ' ')}: {notes[name]}")
    if notes.get("not_compared"):
        typer.echo(f"not compared: {counted(len(notes['not_compared']), 'key')} of the file that no leaf has; --json names them")


def plain(amount: Decimal) -> str:
    """The amount without zeros at its end."""
    return f"{amount.normalize(EXACT):f}"
