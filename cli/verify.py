"""`tollbook verify`: whether the books are in order."""

import typer

from cli.asking import ask
from cli.options import AsJson
from cli.output.show import Listing, show
from cli.output.tables import cell
from cli.output.text import counted
from core.verifying.sql.invariants.invariant import Verdict
from core.verifying.verify import verify as verify_books

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_LISTING = Listing("invariant", ("what must hold", "description"), "violations", of=Verdict, free=("what must hold",))


@app.command(epilog="Example: tollbook verify --json")
def verify(as_json: AsJson = False) -> None:
    """Check every invariant that the database can answer, at one moment, and change nothing; exit code 1 if one is broken."""
    verdicts = ask(verify_books)
    violations = sum(verdict.violations for verdict in verdicts)
    samples = [f"{verdict.invariant}: {cell(sample.subject)}: {cell(sample.detail)}" for verdict in verdicts for sample in verdict.samples]
    words = f"verify: {counted(violations, 'violation')}" if violations else "verify: ok"
    told = {"ok": not violations, "violations": violations, "invariants": verdicts}
    show(told, lambda: _LISTING.print(verdicts), *samples, words, as_json=as_json, rows=verdicts, of=Verdict)
    if violations:
        raise typer.Exit(1)
