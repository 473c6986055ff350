"""`tollbook reconcile`: the nightly check, now."""

from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database, process_name
from cli.options import AsJson
from cli.output.show import show
from cli.output.text import counted
from core.asking.rights import require_root
from core.errors import Conflict
from core.verifying.reconcile import reconcile as reconcile_books
from core.verifying.reconcile import violations_in

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook reconcile --full")
def reconcile(
    full: Annotated[bool, typer.Option("--full", help="Look at all entries, not only at those recorded since the checkpoint.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every invariant as the nightly job does, and keep what breaks it as findings; exit code 1 if one is broken.

    It repairs nothing. See `tollbook findings` for what was found, `tollbook repair` for what can be done.
    """
    require_root(acting(), "reconcile the books")
    with open_database() as database:
        counts = reconcile_books(database, worker=process_name("reconcile"), full=full, at_once=True)
    if counts is None:
        raise Conflict("the books are being reconciled by somebody else in this moment: try again")
    violations = sum(violations_in(counts).values())
    verdict = f"reconcile: {counted(violations, 'violation')}, see tollbook findings" if violations else "reconcile: ok"
    show(counts, counts, verdict, as_json=as_json)
    if violations:
        raise typer.Exit(1)
