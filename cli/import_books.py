"""`tollbook import`: the books of a service that billed before."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.asking import asking
from cli.context import find_servers, process_name
from cli.options import AsJson, By
from cli.output.notes import tell
from cli.output.progress import progress
from cli.output.show import show
from cli.output.tables import print_table
from cli.output.text import counted
from core.importing.files import BookFiles, find_book_files
from core.importing.import_books import ImportedBooks, MandateTotals, import_books
from core.money import ZERO

app = typer.Typer(help="Existing books of a service that billed before.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
MANDATES_SHOWN_MAX = 100


@app.callback()
def existing() -> None:
    """Keeps `books` a command of its own while it is the only one."""


@app.command(epilog="Example: tollbook import books old-books --dry-run")
def books(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", exists=True, file_okay=False, help="Folder with settings, accounts and transactions, each .csv or .jsonl."),
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do all of it, show the totals, and take it back.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Import the billing settings, the accounts with their balances, and the old transactions of a service that billed before.

    Opening balances are ADJUSTMENTs; old transactions are history, which moves no balance. Each file may be missing. Nothing is
    written unless every line is right and the totals of the files are those of the books; wrong lines are named on standard error
    (exit code 1). Repeatable: what is there already stays. Stop the workers meanwhile.
    """
    files = find_book_files(folder)
    config = find_servers()
    with asking() as (database, actor), _shown(files) as done:
        imported = import_books(
            database,
            actor,
            files,
            by=by,
            worker=process_name("import books"),
            config=config,
            dry_run=dry_run,
            progress=done,
        )
    for problem in imported.problems:
        tell("wrong", f"{problem}")
    if (unnamed := imported.problem_count - len(imported.problems)) > 0:
        tell("wrong", f"{counted(unnamed, 'further line')}")
    written = imported.good and not dry_run
    told = {"written": written, "dry_run": dry_run, "ok": imported.good, "imported": imported}
    show(told, lambda: _print(imported, written=written), as_json=as_json)
    if not imported.good:
        raise typer.Exit(1)


@contextmanager
def _shown(files: BookFiles) -> Iterator[Callable[[int], None]]:
    """Takes how many further bytes were read, and shows how far the import is."""
    each = [file for file in (files.settings, files.accounts, files.accounts, files.transactions) if file is not None]
    size, position = sum(file.size for file in each), 0
    with progress(size) as show:

        def done(further: int) -> None:
            nonlocal position
            position += further
            show(position, lambda: f"read {position:,} of {size:,} bytes")

        yield done


def _print(imported: ImportedBooks, *, written: bool) -> None:
    if imported.totals:
        _print_totals(imported.totals)
    if imported.problem_count:
        typer.echo(f"nothing is written: {counted(imported.problem_count, 'line')} wrong")
        return
    counts = {"settings": imported.settings, "accounts": imported.accounts, "transactions": imported.transactions}
    new = ", ".join(f"{thing} {count.new:,} of {count.given:,}" for thing, count in counts.items())
    if not imported.good:
        typer.echo("nothing is written: the totals of the files are not those of the books")
    elif not any(count.new for count in counts.values()):
        typer.echo("nothing changed: all of it was in the books already")
    else:
        typer.echo(f"{'imported, new ones' if written else 'dry run, nothing is written; new would be'}: {new}")


def _print_totals(totals: list[MandateTotals]) -> None:
    """Files and books side by side; of many mandates those that differ and the first ones, and the sum of all."""
    shown = sorted(totals, key=lambda t: t.equal)[:MANDATES_SHOWN_MAX]
    columns = ("mandate", "accounts", "in books", "balance CHF", "in books CHF", "transactions", "in books", "amount CHF", "in books CHF", "equal")
    rows = [_row(t.mandate_id, [t], equal=t.equal) for t in sorted(shown, key=lambda t: t.mandate_id)]
    if len(totals) > len(shown):
        rows.append(_row(f"and {len(totals) - len(shown)} more", [t for t in totals if t not in shown], equal=True))
    print_table(columns, [*rows, _row("total", totals, equal=all(t.equal for t in totals))])


def _row(name: str, totals: list[MandateTotals], *, equal: bool) -> list[object]:
    """The sums of these mandates, a figure of the files before each of the books."""
    return [
        name,
        sum(t.accounts for t in totals),
        sum(t.accounts_in_books for t in totals),
        sum((t.balance for t in totals), ZERO),
        sum((t.balance_in_books for t in totals), ZERO),
        sum(t.transactions for t in totals),
        sum(t.transactions_in_books for t in totals),
        sum((t.amount for t in totals), ZERO),
        sum((t.amount_in_books for t in totals), ZERO),
        equal,
    ]
