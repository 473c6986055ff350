"""`tollbook verify`: whether the books are in order."""

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson
from cli.output.json_out import print_json
from cli.output.tables import cell, print_table
from cli.output.text import counted
from core.verifying.verify import verify as verify_books

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook verify --json")
def verify(as_json: AsJson = False) -> None:
    """Check every invariant that the database can answer, at one moment, and change nothing; exit code 1 if one is broken."""
    with open_database() as database:
        verdicts = verify_books(database, acting())
    violations = sum(verdict.violations for verdict in verdicts)
    if as_json:
        print_json({"ok": not violations, "violations": violations, "invariants": verdicts})
    else:
        rows = [(v.invariant, v.description, v.violations) for v in verdicts]
        print_table(("invariant", "what must hold", "violations"), rows, free=("what must hold",))
        for verdict in verdicts:
            for sample in verdict.samples:
                typer.echo(f"{verdict.invariant}: {cell(sample.subject)}: {cell(sample.detail)}")
        typer.echo(f"verify: {counted(violations, 'violation')}" if violations else "verify: ok")
    if violations:
        raise typer.Exit(1)
